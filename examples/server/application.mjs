// An application that has routes of its own, and clip-es under /clip. Its own errors, body parsers and limits stay as they are.
import { clipEs } from 'clip-es-server'
import fastify from 'fastify'

const app = fastify({ logger: true })

app.get('/', async () => ({ hello: 'this is my own application' }))

await app.register(clipEs, {
  prefix: '/clip',
  load: { model: process.env.CLIP_ES_MODEL },
  keys: process.env.CLIP_ES_KEY ? [process.env.CLIP_ES_KEY] : [],
  limits: { queue: 16, requestTime: 20_000 },
})

// The service behind the routes can be used directly, through the same queue.
app.get('/queue', async () => ({ waiting: app.clipEs.queue.waiting, running: app.clipEs.queue.running }))

await app.listen({ port: Number(process.env.PORT ?? 3000) })

for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, async () => {
    await app.clipEs.drain(30_000) // running requests end
    await app.close()
  })
