// One binary for every LibTorch: the same add-on file and the same C++ test program run with a LibTorch of another version.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { installedLibTorch, type LibTorch, readVersion } from '../../ts/libtorch/find.js'

const root = resolve(__dirname, '../..')
const second = process.env.CLIP_ES_SECOND_LIBTORCH ? resolve(process.env.CLIP_ES_SECOND_LIBTORCH) : undefined

// At the end of the process, writes which add-on and which LibTorch the kernel has mapped.
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

// A CPU build, or a machine without a GPU, is refused after LibTorch was loaded.
const load = [
  '-e',
  `require('${root}/ts/index.ts').Segmenter.load(undefined, { device: 'cuda' }).then(
    (segmenter) => segmenter.close(),
    (error) => { if (error.code !== 'ERR_DEVICE_UNAVAILABLE') throw error },
  )`,
]

function addTests(other: string): void {
  let first: LibTorch

  test('the second LibTorch is of another version than the first', () => {
    const found = installedLibTorch()
    assert.ok(found, 'there is no first LibTorch: set CLIP_ES_LIBTORCH')
    first = found as LibTorch
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

  for (const tests of ['LibTorch', 'CUDA:'])
    test(`the C++ tests named ${tests} pass with the second LibTorch`, () => {
      const program = join(root, 'build-native/clip_es_test')
      assert.ok(existsSync(program), `${program} is not built: npm test -- cpp`)
      assert.is(spawnSync(program, ['--libtorch', other, '--only', tests], { cwd: root, stdio: 'inherit' }).status, 0)
    })
}

if (second) addTests(second)
else {
  console.log('skipped: the second LibTorch: CLIP_ES_SECOND_LIBTORCH does not name one')
  test.skip('no second LibTorch')
}

test.run()
