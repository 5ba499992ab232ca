// Every example of docs/server.md is run as it stands there, against a server with the embedded model.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startBatches } from '../../cli/src/serve/batches/backend.js'
import type { RunningServer } from '../../server/src/index.js'
import { lacksRedis, Place } from '../machines/support.js'
import { testIf } from '../test_if.js'
import { root, startServer } from './support.js'

const page = readFileSync(join(root, 'docs/server.md'), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'clip-es-docs-'))
const place = new Place() // of the Redis and the worker of batches
let server: RunningServer

test.before(async () => {
  if (!lacksRedis) await place.startRedis()
  server = await startServer(lacksRedis ? {} : { batches: startBatches({ url: place.url, name: 'docs', root: place.folder }) })
  if (!lacksRedis) place.worker(['--name', 'docs'])
  mkdirSync(place.path('photos'))
  for (const name of ['1', '2']) cpSync(join(root, 'models/scenes/scene01.png'), place.path(`photos/${name}.jpg`))
  cpSync(join(root, 'models/scenes/scene01.png'), join(folder, 'photo.jpg'))
  mkdirSync(join(folder, 'node_modules'))
  for (const name of ['clip-es', 'fastify']) symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  symlinkSync(join(root, 'server'), join(folder, 'node_modules/clip-es-server'))
})
test.after(async () => {
  await server.close()
  await place.remove()
  rmSync(folder, { recursive: true })
})

const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, text], i, all) => ({
  language: language as string,
  text: text as string,
  line: page.slice(0, (all[i] as RegExpMatchArray).index).split('\n').length,
}))

async function run(command: string, ...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text
    })
  const [status] = await once(child, 'close')
  return { status, ...output }
}

const here = (text: string): string => text.replaceAll('http://127.0.0.1:8080', server.url)
/** Numbers and ids differ. */
const withoutNumbers = (text: string): string =>
  text
    .replace(/"(requestId|id)":"[^"]*"/g, '"$1":"ID"')
    .replace(/"(created|ended)":"[^"]*"/g, '"$1":"TIME"')
    .replace(/clip-es-batches\/[\w-]+/g, 'clip-es-batches/ID')
    .replace(/\d+(\.\d+)?(e-\d+)?/g, '#')
    .trim()

test('every example is of a kind that is run here', () => {
  assert.equal([...new Set(blocks.map(({ language }) => language))].sort(), ['console', 'js'])
  assert.is((page.match(/^```/gm) ?? []).length, 2 * blocks.length)
})

for (const { language, text, line } of blocks) {
  if (language === 'js')
    test(`line ${line}: JavaScript`, async () => {
      writeFileSync(join(folder, 'example.mjs'), here(text))
      const { status, stdout, stderr } = await run(process.execPath, 'example.mjs')
      assert.is(status, 0, stderr)
      assert.match(stdout, /panda: \d+.*\ntrue|emoji-clip\.pt 16/s)
    })
  if (language === 'console')
    (text.includes('/v1/batches') ? testIf(!lacksRedis, lacksRedis ?? '') : test)(
      `line ${line}: ${text.split('\n')[0]}`,
      async () => {
        const lines = text.split('\n')
        const commands = lines.filter((command) => command.startsWith('$ ')).map((command) => here(command.slice(2)))
        const output = lines.filter((written) => !written.startsWith('$ ')).join('\n')
        const { status, stdout, stderr } = await run(
          'bash',
          '-ec',
          commands.map((command) => command.replace(/\bcurl -s\b/g, 'curl -sS')).join('\n'),
        )
        assert.is(status, 0, stderr)
        assert.is(stderr.replace(/\(node.*\n?/g, ''), '')
        assert.is(withoutNumbers(stdout), withoutNumbers(output))
      },
    )
}

test.run()
