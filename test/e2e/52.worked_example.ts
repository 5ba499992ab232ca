// The worked example of docs/datasets.md, from making the photos to the report.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'

const root = join(__dirname, '../..')
const main = join(root, 'cli/dist/main.js')
delete process.env.CLIP_ES_MODEL // the tester's own is not the one that knows these scenes
const folder = mkdtempSync(join(tmpdir(), 'clip-es-worked-'))
const python = process.env.CLIP_ES_TEST_PYTHON || 'python3'

const run = (program: string, args: string[]): SpawnSyncReturns<string> =>
  spawnSync(program, args, { encoding: 'utf8', cwd: folder, env: { ...process.env, PYTHON: python }, maxBuffer: 1e8 })

const drawn = spawnSync(python, ['-c', 'import torch, numpy, PIL']).status === 0
const exampleTest = testIf(drawn, `the worked example: ${python} lacks torch, numpy or pillow; CLIP_ES_TEST_PYTHON names another`)

test.after(() => rmSync(folder, { recursive: true, force: true }))

/** The commands of a page's console blocks, each with what it says it prints. */
function examples(markdown: string): { command: string; lines: string[] }[] {
  const blocks = [...markdown.matchAll(/^```console\n([^`]*)^```$/gm)].map(([, block]) => block as string)
  return blocks.flatMap((block) =>
    block
      .trimEnd()
      .split(/^\$ /m)
      .slice(1)
      .map((text) => {
        const [command, ...lines] = text.trimEnd().split('\n')
        return { command: command as string, lines }
      }),
  )
}

const numbers = (line: string): number[] => (line.match(/\d+(\.\d+)?/g) ?? []).map(Number)
const words = (line: string): string => line.replace(/\d+(\.\d+)?/g, '#').replace(/\s+/g, ' ')

/** Whether a line is as the page shows it: … stands for anything, times and rates are the machine's own, percentages are within 0.3. */
function isAsShown(shown: string, line: string): boolean {
  if (shown.startsWith('…')) return line.endsWith(shown.slice(1))
  if (/\d\/s/.test(shown)) return words(line).replace(/ \(.*| in .*/, '') === words(shown).replace(/ \(.*| in .*/, '')
  if (shown.includes('…')) {
    const [begin, end] = shown.split('…') as [string, string]
    return line.startsWith(begin) && line.endsWith(end)
  }
  const [a, b] = [numbers(shown), numbers(line)]
  return words(line) === words(shown) && a.every((value, i) => Math.abs(value - (b[i] as number)) <= 0.3)
}

const page = readFileSync(join(root, 'docs/datasets.md'), 'utf8')
const maker = 'tools/demo-model/run.sh'

exampleTest('the data set of the worked example is made by the command that the page gives', () => {
  assert.ok(page.includes(`\`${maker} --set demo\` makes such a folder of 240 pictures`))
  const { status, stdout, stderr } = run(join(root, maker), ['--set', 'demo', '--build', 'build'])
  assert.is(status, 0, stdout + stderr)
  assert.is(readFileSync(join(folder, 'demo/labels.csv'), 'utf8').trim().split('\n').length, 241)
})

exampleTest('the commands run as they are written, and print what the page shows', () => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
  const all = examples(page)
  assert.is(all.length, 7)
  for (const { command, lines } of all) {
    const [program, ...args] = command.split(' ')
    assert.is(program, 'clip-es')
    const { status, stdout, stderr } = run(process.execPath, [main, ...args])
    assert.is(status, 0, stderr)
    const printed = stdout.trimEnd().split('\n')
    for (const shown of lines)
      assert.ok(
        shown === '…' || printed.some((line) => isAsShown(shown, line)),
        `${command}: '${shown}' is not in:\n${stdout.slice(0, 4000)}`,
      )
  }
})

test.run()
