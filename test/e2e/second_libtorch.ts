// One binary for every LibTorch: the same add-on file and the same C++ test program, with a LibTorch of another version.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findLibTorch, type LibTorch, readVersion } from '../../ts/setup/find.js'

const root = resolve(__dirname, '../..')
const second = process.env.CLIP_ES_SECOND_LIBTORCH ? resolve(process.env.CLIP_ES_SECOND_LIBTORCH) : undefined

// Writes, as the process ends, which add-on and which LibTorch it had in memory: what the kernel says, not what was asked for.
const recorder = `data:text/javascript,${encodeURIComponent(`
  import { readFileSync, writeFileSync } from 'node:fs'
  process.on('exit', () => {
    const maps = readFileSync('/proc/self/maps', 'utf8')
    const find = (name) => maps.match(new RegExp('\\\\s(/\\\\S*' + name + ')$', 'm'))?.[1]
    const loaded = { addon: find('clip[-_]es[^/]*\\\\.node'), libtorch: find('/libtorch_cpu\\\\.so') }
    if (loaded.addon) writeFileSync(process.env.CLIP_ES_TEST_RECORD, JSON.stringify(loaded))
  })
`)}`

interface Run {
  status: number | null
  addon?: string
  libtorch?: string
}

/** Runs TypeScript with the LibTorch of a folder, in a process of its own that says what it loaded. */
function run(folder: string, args: string[]): Run {
  const temporary = mkdtempSync(join(tmpdir(), 'clip-es-test-'))
  const record = join(temporary, 'loaded.json')
  const env = { ...process.env, CLIP_ES_LIBTORCH: folder, CLIP_ES_TEST_RECORD: record }
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', '--import', recorder, ...args], {
    cwd: root,
    env,
    stdio: 'inherit',
  })
  const loaded = existsSync(record) ? (JSON.parse(readFileSync(record, 'utf8')) as Partial<Run>) : {}
  rmSync(temporary, { recursive: true })
  return { status, ...loaded }
}

/** The kernel names files by their real paths. */
const assertFrom = (folder: string, { libtorch }: Run) =>
  assert.ok(libtorch?.startsWith(`${realpathSync(folder)}/`), `${libtorch} was loaded, not the LibTorch at ${folder}`)

const sha256 = (file: string | undefined): string =>
  createHash('sha256')
    .update(readFileSync(file ?? ''))
    .digest('hex')

const goldenTests = (): string[] =>
  readdirSync(join(root, 'test/golden'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `test/golden/${name}`)
    .filter((file) => readFileSync(join(root, file), 'utf8').includes("from 'uvu'"))

const load = ['-e', `require('${root}/ts/index.ts').Segmenter.load().then((segmenter) => segmenter.close())`]

function addTests(other: string): void {
  let first: LibTorch

  test('the second LibTorch is of another version than the first', () => {
    first = findLibTorch()
    console.log(`first LibTorch ${first.version} at ${first.folder}\nsecond LibTorch ${readVersion(other)} at ${other}`)
    assert.not.equal(readVersion(other), first.version)
  })

  test('one add-on file loads both', () => {
    const runs = [first.folder, other].map((folder) => {
      const loaded = run(folder, load)
      assert.is(loaded.status, 0)
      assertFrom(folder, loaded)
      return { file: loaded.addon, sha256: sha256(loaded.addon) }
    })
    console.log(`add-on ${runs[0]?.file}, SHA-256 ${runs[0]?.sha256}`)
    assert.equal(runs[0], runs[1])
  })

  for (const file of goldenTests())
    test(`${file} holds with the second LibTorch`, () => {
      const loaded = run(other, [file])
      assert.is(loaded.status, 0)
      assertFrom(other, loaded)
    })

  test('the C++ tests hold with the second LibTorch, but for those of emulated CUDA, which know no LibTorch of their own', () => {
    const program = join(root, 'build-native/clip_es_test')
    assert.ok(existsSync(program), `${program} is not built: npm test -- cpp`)
    assert.is(spawnSync(program, ['--libtorch', other, '--except', 'CUDA:'], { cwd: root, stdio: 'inherit' }).status, 0)
  })
}

if (second) addTests(second)
else {
  console.log('skipped: the second LibTorch: CLIP_ES_SECOND_LIBTORCH does not name one')
  test.skip('no second LibTorch')
}

test.run()
