// Device 'cuda' where it cannot be used, and the CPU without a LibTorch.
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hasAmx } from '../../ts/engine/native.js'
import { installedLibTorch } from '../../ts/libtorch/find.js'
import { testIf } from '../test_if.js'
import { inChild, load, modelPath, rejects, temporaryFolder } from './support.js'

const folder = temporaryFolder()

// tools/gpu_check.sh tests machines with a GPU.
const noGpuTest = testIf(!existsSync('/dev/nvidiactl'), "device 'cuda' on a machine without a GPU: this one has a GPU")

noGpuTest("device 'cuda' without CUDA is refused with the reason and the remedy, and the CPU is there as before", async () => {
  const [code, reason] = installedLibTorch()
    ? (['ERR_DEVICE_UNAVAILABLE', 'cannot be used'] as const)
    : (['ERR_LIBTORCH', 'needs a CUDA build of LibTorch'] as const)
  for (const [device, name] of [
    ['cuda', 'cuda:0'],
    ['cuda:0', 'cuda:0'],
    ['cuda:17', 'cuda:17'],
  ] as const)
    await rejects(
      load(modelPath, { device }),
      code,
      `device '${installedLibTorch() ? name : device}' ${reason}`,
      "or use device 'cpu'",
    )
  const again = await load(modelPath, { device: 'cpu' })
  assert.is(again.model.device, 'cpu')
  await again.close()
})

const loadCuda = "return (await clip.Segmenter.load(undefined, { device: 'cuda' })).close()"

/** A folder that looks like a LibTorch to a finder. */
function folderWithLibrary(name: string, place: (file: string) => void): string {
  const file = join(folder, name, 'lib/libtorch_cpu.so')
  mkdirSync(dirname(file), { recursive: true })
  place(file)
  return join(folder, name)
}

test("device 'cuda' with a $CLIP_ES_LIBTORCH that cannot be loaded is ERR_LIBTORCH with its path and the remedy", () => {
  const report = process.report?.getReport() as unknown as { sharedObjects: string[] }
  const mathematics = report.sharedObjects.find((path) => path.includes('/libm.so')) as string
  const table: [string, string][] = [
    [join(folder, 'nothing'), 'neither lib/libtorch_cpu.so nor libtorch_cpu.so is there'],
    [folderWithLibrary('text', (file) => writeFileSync(file, 'no library')), 'does not load'],
    [folderWithLibrary('other', (file) => symlinkSync(mathematics, file)), /lacks \d+ functions/.source],
  ]
  for (const [path, why] of table) {
    const { error } = inChild(loadCuda, { CLIP_ES_LIBTORCH: path })
    assert.is(error?.code, 'ERR_LIBTORCH')
    for (const part of [path, new RegExp(why), 'npx clip-es setup --cuda']) assert.match(error?.message ?? '', part)
  }
})

test("device 'cuda' without a LibTorch: the error names the command that fetches one", () => {
  const { error } = inChild(loadCuda, { CLIP_ES_LIBTORCH: undefined, CLIP_ES_CACHE: join(folder, 'cache') })
  assert.is(error?.code, 'ERR_LIBTORCH')
  assert.match(error?.message ?? '', "device 'cuda' needs a CUDA build of LibTorch")
  assert.match(error?.message ?? '', 'npx clip-es setup --cuda')
})

const segmentOnce = `
  const segmenter = await clip.Segmenter.load(undefined, { precision: PRECISION })
  const classes = await segmenter.encodeClasses(['cat', 'dog'])
  const { mask } = await segmenter.segment({ data: new Uint8Array(3 * 48 * 32).fill(99), width: 48, height: 32 }, classes)
  await segmenter.close()
  return [mask.length, /libtorch/.test(require('node:fs').readFileSync('/proc/self/maps', 'utf8'))]`

const noAmxTest = testIf(!hasAmx(), 'a CPU without AMX: this one has AMX')

noAmxTest('a CPU without AMX segments without loading LibTorch, whatever $CLIP_ES_LIBTORCH says', () => {
  const libtorch = installedLibTorch()?.folder
  for (const precision of ['float32', 'bfloat16', 'int8'])
    for (const path of libtorch ? [libtorch, '/nowhere'] : ['/nowhere']) {
      const { result, error } = inChild(segmentOnce.replace('PRECISION', `'${precision}'`), { CLIP_ES_LIBTORCH: path })
      assert.equal([result, error], [[48 * 32, false], undefined])
    }
})

test.run()
