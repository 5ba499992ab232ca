// Every example of docs/cli.md is run as it stands there. It must print what the page says, but for the numbers, or succeed where the
// page says nothing.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { embeddedModel } from '../../ts/engine/model_path.js'
import { testIf } from '../test_if.js'
import { main, root, scenes, Workplace } from './support.js'

const place = new Workplace()
const page = readFileSync(join(root, 'docs/cli.md'), 'utf8')

interface Block {
  language: string
  /** What follows the language, such as a file's name. */
  title: string
  text: string
  line: number
}

const blocks = [...page.matchAll(/^```(\w+) ?(.*)\n([\s\S]*?)^```$/gm)].map(
  ([, language, title, text], i, all): Block => ({
    language: language as string,
    title: title as string,
    text: text as string,
    line: page.slice(0, (all[i] as RegExpMatchArray).index).split('\n').length,
  }),
)

test.before(async () => {
  mkdirSync(place.path('bin'))
  writeFileSync(place.path('bin/clip-es'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`, { mode: 0o755 })
  cpSync(embeddedModel(), place.path('ViT-B-16.pt'))
  cpSync(join(scenes, 'scene01.png'), place.path('scene.png'))
  for (const folder of ['photos/a', 'photos/b', 'more/deep']) mkdirSync(place.path(folder), { recursive: true })
  const photo = sharp(join(scenes, 'scene05.png'))
  for (const name of ['photo.jpg', 'photos/a/x.jpg', 'photos/b/x.jpg', 'photos/b/y.jpg', 'photos/b/y.png', 'more/deep/z.jpg'])
    await photo.clone().toFile(place.path(name))
  writeFileSync(place.path('broken.jpg'), '')
})
test.after(() => place.remove())

const env: Record<string, string> = { PATH: `${place.path('bin')}:${process.env.PATH}` }

/** Numbers, rates, times and the folder differ from machine to machine; '< 0.01' is a number as well. */
const withoutNumbers = (text: string): string =>
  text
    .replaceAll(place.folder, '/tmp')
    .replace(/(< )?\d+(\.\d+)?(e-\d+)?/g, '#')
    .replaceAll('#/min', '#/s')
    .replaceAll('# min # s', '# s')

/** The commands of a console, each with what it says below. */
function commands(text: string): { command: string; output: string }[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const end = part.indexOf('\n')
      return { command: part.slice(0, end), output: part.slice(end + 1) }
    })
}

test('docs: every example is of a kind that is run here', () => {
  assert.equal([...new Set(blocks.map(({ language }) => language))].sort(), ['console', 'json', 'python'])
  assert.is((page.match(/^```/gm) ?? []).length, 2 * blocks.length)
})

const hasNumpy = spawnSync('python3', ['-c', 'import numpy']).status === 0
const numpyTest = testIf(hasNumpy, 'the Python of the page: there is no python3 with numpy')

for (const { language, title, text, line } of blocks) {
  if (language === 'json') test(`line ${line}: ${title}`, () => writeFileSync(place.path(title), text))
  if (language === 'console')
    for (const { command, output } of commands(text))
      test(`line ${line}: ${command}`, () => {
        const exported = command.match(/^export (\w+)=(\S+)$/)
        if (exported) {
          env[exported[1] as string] = exported[2] as string
          return
        }
        const run = spawnSync('bash', ['-c', command], { encoding: 'utf8', cwd: place.folder, env: place.env(env) })
        if (output) assert.is(withoutNumbers(run.stdout), withoutNumbers(output), run.stderr)
        else assert.is(run.status, 0, run.stderr)
      })
  if (language === 'python')
    numpyTest(`line ${line}: ${text.split('\n')[0]}`, () => {
      const run = spawnSync('python3', ['-c', text], { encoding: 'utf8', cwd: place.folder })
      assert.is(run.stdout, '[0 1]\n(2, 240, 320)\n', run.stderr)
    })
}

test.run()
