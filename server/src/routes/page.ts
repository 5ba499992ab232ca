import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, extname, join } from 'node:path'
import { embeddedModel } from 'clip-es/support'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'

/** The page may load its own files and talk to its own server, and nothing else. Its scripts cannot make HTML out of texts. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/** In addition to those of every answer. */
const headers = {
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
  'cache-control': 'no-cache',
}

const kinds: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
}

/** Public: without a key nobody could type one. Not a part of the API that /docs describes. */
const route = { config: { public: true }, schema: { hide: true } as object }

interface PageFile {
  bytes: Buffer
  type: string
  etag: string
}

interface WithFile {
  Params: { file: string }
}

function readPageFile(file: string): PageFile {
  const bytes = readFileSync(file)
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
  return { bytes, type: kinds[extname(file)] as string, etag }
}

function send(request: FastifyRequest, reply: FastifyReply, { bytes, type, etag }: PageFile): FastifyReply {
  reply.headers(headers).header('etag', etag)
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.type(type).send(bytes)
}

/** The demo scenes' labels by name, such as scene01. */
async function sceneLabels(folder: string): Promise<Record<string, { labels: string[] }>> {
  return JSON.parse(await readFile(join(folder, 'labels.json'), 'utf8'))
}

/** The page at /, its files under /page/, and the demo scenes under /page/scenes. scripts/prepare.mjs builds the files. */
export async function pageRoute(app: FastifyInstance): Promise<void> {
  const built = join(__dirname, '../../dist/page') // the same folder from src/ and from dist/
  const files = new Map(['index.html', 'page.js', 'page.css', 'icon.svg'].map((name) => [name, readPageFile(join(built, name))]))
  const folder = join(dirname(embeddedModel()), 'scenes')
  const scenes = await sceneLabels(folder)

  app.get('/', route, async (request, reply) => {
    const [path = '', query] = request.url.split('?')
    // The page's own addresses are relative, so that it works under a prefix and behind a proxy.
    if (!path.endsWith('/')) return reply.redirect(`${path.split('/').at(-1)}/${query ? `?${query}` : ''}`)
    return send(request, reply, files.get('index.html') as PageFile)
  })

  app.get<WithFile>('/page/:file', route, async (request, reply) => {
    const file = files.get(request.params.file)
    if (!file) throw new ServerError(404, 'ERR_NOT_FOUND', `the page has no file '${request.params.file}'`)
    return send(request, reply, file)
  })

  app.get('/page/scenes', route, async () => Object.entries(scenes).map(([name, { labels }]) => ({ name, labels })))

  app.get<WithFile>('/page/scenes/:file', route, async (request, reply) => {
    const { file } = request.params
    if (!file.endsWith('.png') || !Object.hasOwn(scenes, file.slice(0, -4)))
      throw new ServerError(404, 'ERR_NOT_FOUND', `there is no demo scene '${file}'`)
    return send(request, reply, readPageFile(join(folder, file)))
  })
}
