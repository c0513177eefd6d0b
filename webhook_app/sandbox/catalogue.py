"""What the sandbox trades: currencies with their networks, invented prices, and quotes. Decimal from end to end."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal


@dataclass(frozen=True)
class Coin:
    networks: tuple[str, ...]
    price: Decimal
    """In euros."""
    scale: int
    """Decimal places of an amount."""


COINS: dict[str, Coin] = {
    "USDT": Coin(("TRC20", "ERC20", "BEP20", "POLYGON"), Decimal("1"), 2),
    "USDC": Coin(("ERC20", "POLYGON", "BASE", "SOL"), Decimal("0.92"), 6),
    "BTC": Coin(("BTC",), Decimal("58214.37"), 8),
    "ETH": Coin(("ETH", "ARBITRUM", "BASE"), Decimal("2310.55"), 18),
    "SOL": Coin(("SOL",), Decimal("131.20"), 9),
    "TON": Coin(("TON",), Decimal("4.87"), 9),
    "TRX": Coin(("TRC20",), Decimal("0.114"), 6),
}

#: `CURRENCY/NETWORK`, of all that can be traded.
MARKETS = tuple(f"{currency}/{network}" for currency, coin in COINS.items() for network in coin.networks)

#: Units per euro, and decimal places.
FIAT: dict[str, tuple[Decimal, int]] = {
    "EUR": (Decimal("1"), 2),
    "USD": (Decimal("1.08"), 2),
    "GBP": (Decimal("0.86"), 2),
    "PLN": (Decimal("4.31"), 2),
    "JPY": (Decimal("162"), 0),
}

#: Half a per cent, as in Proof's example: 100.00 EUR buy 99.50 USDT.
_AFTER_FEE = Decimal("0.995")

#: Wide enough for any amount that domain/money.py lets pass; the default of 28 digits would round 18-place coins.
_EXACT = Context(prec=120, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class Quote:
    crypto_amount: Decimal
    fiat_amount: Decimal


def quote(transaction_type: str, currency: str, fiat_currency: str, amount: Decimal) -> Quote:
    """What `amount` comes to: of fiat for a buy, of crypto for a sell. Both sides have their currency's scale.

    An unknown currency is priced at one euro with two places, so that a test may invent one.
    """
    coin = COINS.get(currency, Coin((), Decimal("1"), 2))
    rate, fiat_scale = FIAT.get(fiat_currency, (Decimal("1"), 2))
    price = _EXACT.multiply(coin.price, rate)
    if transaction_type == "sell":
        crypto = _rounded(amount, coin.scale)
        return Quote(crypto, _rounded(_EXACT.multiply(_EXACT.multiply(crypto, price), _AFTER_FEE), fiat_scale))
    fiat = _rounded(amount, fiat_scale)
    return Quote(_rounded(_EXACT.divide(_EXACT.multiply(fiat, _AFTER_FEE), price), coin.scale), fiat)


@dataclass(frozen=True)
class Purchase:
    """What one invented customer does."""

    transaction_type: str
    currency: str
    network: str
    fiat_currency: str
    amount: Decimal
    """Of fiat for a buy, of crypto for a sell."""
    partner_user_id: str

    def quote(self) -> Quote:
        return quote(self.transaction_type, self.currency, self.fiat_currency, self.amount)


def invent_purchase(rng: random.Random, transaction_type: str | None = None) -> Purchase:
    """A customer's plausible choice; between 20 and 2,500 euros' worth, most of it small and round."""
    chosen_type = transaction_type or rng.choices(("buy", "sell"), (3, 1))[0]
    currency = rng.choices(tuple(COINS), (8, 4, 3, 3, 2, 1, 1))[0]
    coin = COINS[currency]
    fiat_currency = rng.choices(tuple(FIAT), (6, 2, 2, 1, 1))[0]
    rate, fiat_scale = FIAT[fiat_currency]
    euros = Decimal(rng.choice((20, 50, 50, 100, 100, 150, 200, 250, 500, 1000, 2500)))
    if rng.random() < 0.4:
        euros += Decimal(rng.randrange(10_000)) / 100
    if chosen_type == "sell":
        amount = _rounded(_EXACT.divide(euros, coin.price), min(coin.scale, 6))
    else:
        amount = _rounded(_EXACT.multiply(euros, rate), fiat_scale)
    return Purchase(
        chosen_type, currency, rng.choice(coin.networks), fiat_currency, amount, f"user-{rng.randrange(1, 500)}"
    )


def _rounded(amount: Decimal, scale: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-scale), context=_EXACT)
