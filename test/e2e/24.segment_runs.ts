// `clip-es segment` among its circumstances: many photos, wrong command lines, interrupts, closed pipes, full and closed folders.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'
import { jsonLines, main, scenes, Workplace } from './support.js'

const place = new Workplace()
const words = ['--classes', 'elephant,television,panda']
const many = 40

test.before(() => {
  for (const name of ['a/x.png', 'b/x.png', 'b/deep/y.png', 'with space/ü.png']) cpSync(scene(1), place.path(name))
  for (let i = 0; i < many; i++) cpSync(scene((i % 12) + 1), place.path(`many/p${String(i).padStart(2, '0')}.png`))
})
test.after(() => place.remove())

const scene = (n: number): string => join(scenes, `scene${String(n).padStart(2, '0')}.png`)

// ---------------------------------------------------------------- many photos
test('folders and globs give results under the paths of the photos, in order, and a second run does not take results for photos', () => {
  const paths = ['a/x.png', 'b/deep/y.png', 'b/x.png', 'with space/ü.png']
  for (let time = 0; time < 2; time++) {
    const { status, stdout, stderr } = place.run(['segment', 'a', 'b/**/*.png', '.', ...words, '--json', '-o', 'out'])
    assert.is(status, 0, stderr)
    const found = jsonLines(stdout).map((line) => String(line.path))
    assert.equal(
      found.filter((path) => !path.startsWith('many')),
      paths,
    )
    assert.is(found.length, paths.length + many)
    assert.equal(
      place.files('out').filter((path) => !path.startsWith('many')),
      [...paths, 'segment.jsonl'].sort(),
    )
  }
})

const hasScript = spawnSync('script', ['--version']).status === 0
const terminalTest = testIf(hasScript, 'the bar on a terminal: there is no script command to make one')

terminalTest('on a terminal a bar shows count, rate and time left, then a summary; the cursor comes back', () => {
  const command = [process.execPath, main, 'segment', 'many', ...words, '-o', 'bar'].join(' ')
  const { stdout, status } = spawnSync('script', ['-qec', command, '/dev/null'], {
    encoding: 'utf8',
    cwd: place.folder,
    env: place.env(),
  })
  assert.is(status, 0, stdout)
  assert.match(stdout, / \d+\/40 \| [\d.]+\/(s|min) \| \d+ (s|min) left \| 0 failed/)
  assert.match(stdout, /clip-es: 40 photos done in \d+ s \([\d.]+\/s\); results are in bar\r\n$/)
  assert.not.match(stdout, /many\/p00\.png/)
  assert.ok(stdout.includes('\u001b[?25l'), 'the cursor is hidden')
  assert.ok(stdout.lastIndexOf('\u001b[?25h') > stdout.lastIndexOf('\u001b[?25l'))
})

// ---------------------------------------------------------------- wrong command lines
const wrong: [what: string, args: string[], message: RegExp][] = [
  ['a misspelt option', ['a', '--clases', 'cat'], /unknown option '--clases'\n\(Did you mean --classes\?\)/],
  ['no photo', ['--classes', 'cat'], /missing required argument 'photo'/],
  [
    'a number out of range',
    ['a', ...words, '--box-threshold', '1.5'],
    /'--box-threshold <x>' argument '1\.5' is invalid\. Expected a number from 0 to 1/,
  ],
  ['no number', ['a', ...words, '--ignore-below', 'much'], /argument 'much' is invalid\. Expected a number from 0 to 1/],
  ['no whole number', ['a', ...words, '--threads', '1.5'], /Expected a whole number from 1 to 1024/],
  ['an unknown precision', ['a', ...words, '--precision', 'half'], /Allowed choices are auto, float32, bfloat16/],
  ['an unknown device', ['a', ...words, '--device', 'gpu'], /Expected auto, cpu, cuda or cuda:N/],
  ['an empty word', ['a', '--classes', 'cat,,dog'], /A word is missing before or after a comma/],
  ['a class twice', ['a', '--classes', 'cat,dog,cat'], /classes has 'cat' twice/],
  ['an unknown label', ['a', ...words, '--labels', 'elefant'], /--labels: unknown class 'elefant'; did you mean 'elephant'\?/],
  ['a label twice', ['a', ...words, '--labels', 'panda,panda'], /--labels has panda twice/],
  [
    'a class that the class file lacks',
    ['a', '--class-file', 'voc', '--classes', 'cats'],
    /--classes: unknown class of voc 'cats'; did you mean 'cat'\?/,
  ],
  ['a template without a place', ['a', ...words, '--template', 'a photo'], /must be a string with \{\} in it exactly once/],
  ['one class and no background', ['a', '--classes', 'cat', '--background', ''], /one class and no background word/],
  ['a class file that is not there', ['a', '--class-file', 'vok.json'], /vok\.json: cannot be read/],
  [
    'a class file with a mistake',
    ['a', '--class-file', 'mistake.json'],
    /mistake\.json: line 2: clases is not known \(did you mean classes\?\)/,
  ],
  ['results among the photos', ['a', ...words, '-o', 'a'], /the results would be written among the photos of a/],
  ['a result in the photo’s place', ['a/x.png', ...words, '-o', '.'], /would overwrite the photo/],
]

test('a wrong command line ends with status 2, a message with the remedy, and no work', () => {
  writeFileSync(place.path('mistake.json'), '{\n  "clases": []\n}')
  const before = place.files('.')
  for (const [what, args, message] of wrong) {
    const { status, stdout, stderr } = place.run(['segment', ...args])
    assert.is(status, 2, what)
    assert.is(stdout, '', what)
    assert.match(stderr, message, what)
    assert.not.match(stderr, /\n {4}at /, what)
  }
  assert.equal(place.files('.'), before)
})

test('without classes the command shows examples', () => {
  const { status, stderr } = place.run(['segment', 'a'])
  assert.is(status, 2)
  assert.match(stderr, /no classes are given/)
  assert.match(stderr, /clip-es segment photo\.jpg --classes cat,dog/)
  assert.match(stderr, /clip-es segment scene\.png --class-file emoji/)
})

test('no photo is an error, and no folder is made', () => {
  mkdirSync(place.path('empty'))
  const { status, stdout, stderr } = place.run(['segment', 'empty', 'absent.png', ...words, '-o', 'none'])
  assert.is(status, 1)
  assert.is(stdout, '')
  assert.match(
    stderr,
    /^clip-es: empty: there is no photo in it .+\nclip-es: absent\.png: there is no such file or folder\nclip-es: there is no photo to work on\. /,
  )
  assert.match(stderr, /Name photos, folders of photos, or globs in quotes/)
  assert.not.ok(place.files('.').some((path) => path.startsWith('none')))
})

test('a model that cannot be used ends with status 1 and the reason', () => {
  writeFileSync(place.path('text.pt'), 'no model')
  const run = (...args: string[]) => place.run(['segment', 'a', ...words, ...args, '--json'])
  const absent = run('--model', 'absent.pt')
  assert.equal([absent.status, absent.stdout], [1, ''])
  assert.match(absent.stderr, /^clip-es: .*absent\.pt: cannot be opened: No such file or directory\n$/)
  const text = run('--model', 'text.pt')
  assert.equal([text.status, text.stdout], [1, ''])
  assert.match(text.stderr, /text\.pt is not a TorchScript archive/)
  const fromVariable = place.run(['segment', 'a', ...words], { CLIP_ES_MODEL: place.path('absent.pt') })
  assert.is(fromVariable.status, 1)
  assert.match(fromVariable.stderr, /absent\.pt: cannot be opened/)
})

const noGpuTest = testIf(!existsSync('/dev/nvidiactl'), '--device cuda on a machine without a GPU: this one has a GPU')

noGpuTest('--device cuda without a GPU ends with 1 and says why', () => {
  const cuda = place.run(['segment', 'a', ...words, '--device', 'cuda', '--json'])
  assert.equal([cuda.status, cuda.stdout], [1, ''])
  assert.match(cuda.stderr, /device 'cuda(:0' cannot be used: |' needs a CUDA build of LibTorch).*use device 'cpu'/)
})

test('a prompt that is too long for the model is a wrong command line', () => {
  const { status, stderr } = place.run(['segment', 'a', '--classes', `panda,${'very '.repeat(100)}long`])
  assert.is(status, 2)
  assert.match(stderr, /has 105 tokens, 30 more than the model's 75/)
})

// ---------------------------------------------------------------- folders that cannot be written
test('a folder that cannot be written is named before the model is loaded', () => {
  writeFileSync(place.path('file'), '')
  const { status, stdout, stderr } = place.run(['segment', 'a', ...words, '-o', 'file/out'])
  assert.equal([status, stdout], [1, ''])
  assert.match(
    stderr,
    /^clip-es: segment: cannot write to the folder .*file\/out \(ENOTDIR.*\); choose another one with --out\n$/,
  )
})

test('a result that cannot be written fails only its photo', () => {
  mkdirSync(place.path('blocked/a/x.png/full'), { recursive: true }) // a folder where the mask should be
  const { status, stderr } = place.run(['segment', 'a', 'b', ...words, '-o', 'blocked'])
  assert.is(status, 1)
  assert.match(
    stderr,
    /clip-es: a\/x\.png: .* is a folder; only regular files are replaced\nclip-es: 2 photos done in .+, 1 failed: listed above; results are in blocked\n$/,
  )
  assert.equal(place.files('blocked'), ['b/deep/y.png', 'b/x.png', 'segment.jsonl'])
})

mkdirSync(place.path('small'))
const hasSmall = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', place.path('small')]).status === 0
const fullTest = testIf(hasSmall, 'a full disk: this user may not mount a small one')

fullTest('a full disk ends the work at once, with whole files only', async () => {
  const { status, stderr } = place.run(['segment', 'many', ...words, '--overlay', '-o', 'small'])
  const files = place.files('small')
  assert.is(spawnSync('umount', [place.path('small')]).status, 0)
  assert.is(status, 1)
  assert.match(
    stderr,
    /clip-es: ENOSPC: .+; \d of 40 photos done; results are in small\. Make room and run the same command again, or choose another folder with --out\n$/,
  )
  assert.equal(
    files.filter((path) => path.includes('.tmp')),
    [],
  )
})

// ---------------------------------------------------------------- stopped from outside
/** Every file is whole: no temporary one, every mask with all its pixels. */
async function assertWhole(folder: string): Promise<number> {
  const files = place.files(folder)
  assert.equal(
    files.filter((path) => path.includes('.tmp')),
    [],
  )
  for (const path of files.filter((name) => /p\d+\.png$/.test(name))) {
    const { data } = await readMask(readFileSync(place.path(folder, path)))
    assert.is(data.length, 320 * 240)
    assert.ok(files.includes(path.replace('.png', '_overlay.png')), `${path} is there, and its overlay is not`)
    assert.ok(files.includes(path.replace('.png', '.npz')), `${path} is there, and its CAMs are not`)
  }
  return files.filter((name) => /p\d+\.png$/.test(name)).length
}

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  test(`${signal} in the middle: whole files only, how far it came, and the status ${expected}`, async () => {
    const out = `stopped-${signal}`
    const { child, ended } = place.start(['segment', 'many', ...words, '--overlay', '--cams', '-o', out])
    let lines = 0
    child.stdout?.on('data', (text: Buffer) => {
      const before = lines
      lines += text.toString().split('\n').length - 1
      if (before < 3 && lines >= 3) child.kill(signal)
    })
    const { status, stderr } = await ended
    assert.is(status, expected)
    const whole = await assertWhole(out)
    const [, said] = stderr.match(/clip-es: (?:interrupted|ended by SIGTERM); (\d+) of 40 photos done; results are in /) ?? []
    assert.ok(whole >= 3 && whole < many, String(whole))
    assert.ok(Number(said) >= 3 && Number(said) <= whole, stderr)
  })

test('SIGINT while the model loads ends with status 130', async () => {
  const { child, ended } = place.start(['segment', 'many', ...words, '-o', 'early'])
  child.stderr?.once('data', () => child.kill('SIGINT')) // the notice comes just before
  const { status, stderr } = await ended
  assert.is(status, 130)
  assert.match(stderr, /interrupted; \d+ of 40 photos done/)
})

test('a reader that closes the pipe stops the work without a crash', async () => {
  for (const json of [[], ['--json']]) {
    const { child, ended } = place.start(['segment', 'many', ...words, ...json, '-o', 'left'])
    child.stdout?.once('data', () => child.stdout?.destroy())
    const { status, stderr } = await ended
    assert.is(status, 1)
    assert.match(
      stderr,
      /clip-es: the program that reads standard output has ended; \d+ of 40 photos done; results are in left\n$/,
    )
  }
})

test('an output that cannot be written is an error', async () => {
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, [main, 'segment', 'a', ...words, '--json'], {
    cwd: place.folder,
    env: place.env(),
    stdio: ['ignore', full, 'pipe'],
  })
  let stderr = ''
  child.stderr?.on('data', (text: Buffer) => (stderr += text))
  assert.equal(await once(child, 'close'), [1, null])
  assert.match(stderr, /clip-es: standard output cannot be written \(ENOSPC/)
})

test.run()
