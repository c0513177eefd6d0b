INSERT INTO events (merchant_transaction_id, type, status, currency, network, crypto_amount, fiat_currency, fiat_amount,
                    created_at, updated_at, body)
SELECT gen_random_uuid()::text, 'buy', 'completed', 'USDT', 'TRC20', 99.50, 'EUR', 100.00,
       '2026-04-01T10:00:00Z', '2026-04-01T10:03:45Z', decode(repeat('61', 319), 'hex')
FROM generate_series(1, 16)
ON CONFLICT (merchant_transaction_id, status, updated_at) DO NOTHING;
