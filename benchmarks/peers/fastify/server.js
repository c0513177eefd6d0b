// Fastify validates, pg inserts, BullMQ has a job for each event. As many processes as WEB_WORKERS says, behind one port.
'use strict'

const cluster = require('node:cluster')
const { Queue } = require('bullmq')
const fastify = require('fastify')
const { Pool } = require('pg')

const text = { type: 'string' }
const schema = {
  body: {
    type: 'object',
    required: ['merchant_transaction_id', 'status', 'updated_at'],
    properties: {
      merchant_transaction_id: { type: 'string', minLength: 1, maxLength: 128 },
      type: text,
      status: { type: 'string', minLength: 1, maxLength: 64 },
      currency: text,
      network: text,
      crypto_amount: text,
      fiat_currency: text,
      fiat_amount: text,
      created_at: { type: 'string', format: 'date-time' },
      updated_at: { type: 'string', format: 'date-time' }
    }
  }
}
const columns = Object.keys(schema.body.properties)
const insert = {
  name: 'insert',
  text: `INSERT INTO events (${columns.join(', ')}, body)
         VALUES (${columns.map((_, index) => `$${index + 1}`).join(', ')}, $${columns.length + 1})
         ON CONFLICT (merchant_transaction_id, status, updated_at) DO NOTHING RETURNING id`
}
const find = {
  name: 'find',
  text: 'SELECT id FROM events WHERE merchant_transaction_id = $1 AND status = $2 AND updated_at = $3'
}

async function serve () {
  const pool = new Pool({ max: 16 })
  const queue = new Queue('confirm', { connection: { path: process.env.REDIS_SOCKET } })
  const app = fastify()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    request.raw.body = body
    try {
      done(null, JSON.parse(body))
    } catch (error) {
      error.statusCode = 400
      done(error)
    }
  })
  app.get('/healthz', async () => 'alive')
  app.post('/webhooks/proof', { schema }, async (request, reply) => {
    const event = request.body
    const values = columns.map((name) => event[name] || null)
    const { rows } = await pool.query({ ...insert, values: [...values, request.raw.body] })
    if (rows.length === 0) {
      const key = [event.merchant_transaction_id, event.status, event.updated_at]
      const known = await pool.query({ ...find, values: key })
      return { event_id: known.rows[0].id, duplicate: true }
    }
    await queue.add('confirm', { event_id: rows[0].id })
    return reply.code(202).send({ event_id: rows[0].id, duplicate: false })
  })
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
}

if (cluster.isPrimary) {
  for (let started = 0; started < Number(process.env.WEB_WORKERS); started++) cluster.fork()
  process.on('SIGTERM', () => process.exit(0))
} else {
  serve()
}
