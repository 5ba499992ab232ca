// The examples of docs/annotation-tools.md are run as they stand there, with the port of a server of this test.
import { spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { readLabelConfig } from '../../server/src/protocols/label_studio/label_config.js'
import { embeddedModel } from '../../ts/support/index.js'
import { root, sceneFile, startServer } from './support.js'

const page = readFileSync(join(root, 'docs/annotation-tools.md'), 'utf8')
const blocks = [...page.matchAll(/^```(\w+) ?(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', word = '', text = '']) => ({
  language,
  word,
  text,
}))
const place = mkdtempSync(join(tmpdir(), 'clip-es-tools-'))
let server: RunningServer

test.before(async () => {
  server = await startServer()
  await sharp(sceneFile('scene05')).toFile(join(place, 'photo.jpg'))
  cpSync(embeddedModel(), join(place, 'ViT-B-16.pt'))
  writeFileSync(join(place, 'clip-es'), `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'cli/dist/main.js')}" "$@"\n`)
  chmodSync(join(place, 'clip-es'), 0o755)
})
test.after(async () => {
  await server.close()
  rmSync(place, { recursive: true, force: true })
})

function start(program: string, text: string) {
  const child = spawn(program, ['-c', text], { cwd: place, env: { ...process.env, PATH: `${place}:${process.env.PATH}` } })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    output += chunk
  })
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    errors += chunk
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { child, ended, output: () => output, errors: () => errors }
}

/** What an example prints. */
async function run(program: string, text: string): Promise<string> {
  const { ended, output, errors } = start(program, text.replaceAll('127.0.0.1:8080', new URL(server.url).host))
  assert.is(await ended, 0, errors())
  return output()
}

const of = (language: string, word = ''): string[] =>
  blocks.filter((block) => block.language === language && block.word === word).map(({ text }) => text)

test('the page has examples of these kinds, and no others', () => {
  assert.equal([...new Set(blocks.map(({ language, word }) => `${language} ${word}`.trim()))].sort(), [
    'python',
    'sh',
    'sh serve',
    'xml',
  ])
  assert.is((page.match(/^```/gm) ?? []).length, 2 * blocks.length)
})

test('the labelling interface is one that the server reads', () => {
  for (const text of of('xml'))
    assert.equal(
      readLabelConfig(text).map(({ tool, texts, classes }) => [tool.tool, texts, classes.length]),
      [['brush', { labelThreshold: '0.2' }, 3]],
    )
})

test('Label Studio, CVAT and KServe by hand', async () => {
  const [labelStudio, cvat, kserve, ...others] = of('sh') as [string, string, string]
  assert.is(others.length, 0)
  const { results } = JSON.parse(await run('bash', labelStudio)) as { results: { result: { type: string }[] }[] }
  assert.ok(results[0]?.result.every(({ type }) => type === 'polygonlabels') && results[0].result.length > 0)
  const shapes = JSON.parse(await run('bash', cvat)) as { label: string; type: string }[]
  assert.ok(shapes.length > 0 && shapes.every(({ label, type }) => type === 'polygon' && ['bus', 'rain_gear'].includes(label)))
  const [model, answer] = (await run('bash', kserve)).replace('}{', '}\n{').split('\n')
  assert.is(JSON.parse(model as string).name, 'clip-es')
  const { outputs } = JSON.parse(answer as string) as { outputs: { name: string; data: unknown[] }[] }
  assert.equal([outputs[0]?.data, outputs[1]?.data.length], [['bus', 'umbrella'], 2])
})

test('KServe with binary data, in Python', async () => {
  for (const text of of('python')) {
    const file = join(place, 'infer.py')
    writeFileSync(file, text.replaceAll('127.0.0.1:8080', new URL(server.url).host))
    assert.match(await run('bash', 'python3 infer.py'), /^\[240, 320\] \[0, 1, 2\]\n$/)
  }
})

test('the command starts a server with these options', async () => {
  for (const text of of('sh', 'serve')) {
    const { child, ended, output, errors } = start('bash', text.replace('clip-es serve', 'exec clip-es serve --port 0'))
    while (!output().includes('\n') && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20))
    const url = /^listening on (\S+)\n/.exec(output())?.[1]
    assert.ok(url, errors())
    assert.is((await fetch(`${url}/health`)).status, 200)
    child.kill('SIGTERM')
    assert.is(await ended, 0, errors())
  }
})

test.run()
