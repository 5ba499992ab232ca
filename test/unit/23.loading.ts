// Which model and LibTorch are loaded, and the warnings of loading, without the add-on.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClipEsError } from '../../ts/core/errors.js'
import { assumptions, warnOfAssumptions } from '../../ts/engine/assumptions.js'
import { defaultThreads, physicalCores } from '../../ts/engine/cores.js'
import { embeddedModel, resolveModelPath } from '../../ts/engine/model_path.js'
import { addonFile, create, hasAmx, isFirstInProcess, type NativeModel } from '../../ts/engine/native.js'
import { makeWeightsFolder, warnOfWeightsFile } from '../../ts/engine/weights_folder.js'
import { modelOutsideAsar } from '../../ts/files/asar.js'
import { packageFolder, packageVersion } from '../../ts/files/package_folder.js'
import { hasCuda, installedLibTorch, isTooOld, libraryFile, libTorchFor, readVersion } from '../../ts/libtorch/find.js'
import { cudaFolder, oldCpuFolder, pythonRecord } from '../../ts/libtorch/paths.js'
import { fakeLibTorch, folder, isolate, write } from './setup_support.js'
import { root } from './support.js'

const loading = isolate(suite('loading'))

/** The process warnings of a function, with their codes. */
function warnings(work: () => void): string[] {
  const heard: string[] = []
  const { emitWarning } = process
  process.emitWarning = (message: string | Error, options?: unknown) => {
    heard.push(`${(options as { code: string }).code} ${message}`)
  }
  try {
    work()
  } finally {
    process.emitWarning = emitWarning
  }
  return heard
}

/** The code and the message of what is thrown. */
function thrown(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return `${(error as ClipEsError).code} ${(error as ClipEsError).message}`
  }
  return 'nothing'
}

loading('the path given comes before $CLIP_ES_MODEL, and that before the embedded model, of which one warning tells', () => {
  const before = process.env.CLIP_ES_MODEL
  const paths: string[] = []
  const heard = warnings(() => {
    process.env.CLIP_ES_MODEL = 'own.pt'
    paths.push(resolveModelPath('given.pt'), resolveModelPath(undefined))
    process.env.CLIP_ES_MODEL = ''
    paths.push(resolveModelPath(undefined))
    delete process.env.CLIP_ES_MODEL
    paths.push(resolveModelPath(undefined))
  })
  if (before !== undefined) process.env.CLIP_ES_MODEL = before
  const embedded = join(root, 'models/emoji-clip.pt')
  assert.equal(paths, [resolve('given.pt'), resolve('own.pt'), embedded, embedded])
  assert.is(embeddedModel(), embedded)
  assert.equal(heard, [
    'CLIP_ES_DEMO_MODEL clip-es: using the embedded demo model, which knows emoji scenes and not photographs; for photos pass the path of a CLIP archive',
  ])
})

loading('what an archive does not say is a warning for each path', () => {
  const model = (assumedActivation: boolean, assumedHeads: boolean) => ({ assumedActivation, assumedHeads }) as NativeModel
  assert.equal([model(false, false), model(true, false), model(false, true), model(true, true)].map(assumptions), [
    [],
    ['activation'],
    ['heads'],
    ['activation', 'heads'],
  ])
  assert.ok(Object.isFrozen(assumptions(model(true, true))))
  const heard = warnings(() => {
    warnOfAssumptions(model(false, false), 'a.pt')
    warnOfAssumptions(model(true, true), 'a.pt')
    warnOfAssumptions(model(true, true), 'a.pt')
    warnOfAssumptions(model(true, false), 'b.pt')
    warnOfAssumptions(model(false, true), 'c.pt')
  })
  const remedy = 'Write an archive that says what is right with tools/export_archive.py'
  const unsaid = 'is a bare state dict, which does not say its'
  assert.equal(heard, [
    `CLIP_ES_ASSUMED clip-es: a.pt ${unsaid} activation and heads; QuickGELU and heads of width 64 as in OpenAI's models are assumed. Most open_clip weights need GELU. ${remedy}`,
    `CLIP_ES_ASSUMED clip-es: b.pt ${unsaid} activation; QuickGELU as in OpenAI's models are assumed. Most open_clip weights need GELU. ${remedy}`,
    `CLIP_ES_ASSUMED clip-es: c.pt ${unsaid} heads; heads of width 64 as in OpenAI's models are assumed. ${remedy}`,
  ])
})

loading('the folder of the weights is made, and a failure of its file is a warning', () => {
  makeWeightsFolder('')
  makeWeightsFolder(join(folder, 'a/b'))
  assert.ok(existsSync(join(folder, 'a/b')))
  writeFileSync(join(folder, 'file'), '')
  makeWeightsFolder(join(folder, 'file/b'))
  const heard = warnings(() => {
    warnOfWeightsFile('')
    warnOfWeightsFile('x cannot be written')
  })
  assert.equal(heard, [
    'CLIP_ES_WEIGHTS clip-es: the model was loaded from its archive, because the weights file x cannot be written. Name another folder as weightsFolder, or leave it out',
  ])
})

loading('without an add-on nothing can be made, and its facts are assumed', () => {
  const message =
    /^ERR_LIBTORCH the native add-on does not load \(a unit test must not load the native add-on .+\): install clip-es again, or run npx clip-es doctor, which says what is missing$/
  if (addonFile() !== undefined) for (const work of [hasAmx, () => create(() => 1)]) assert.match(thrown(work), message)
  assert.is(isFirstInProcess(), true)
  assert.is(defaultThreads(), physicalCores())
  assert.ok(physicalCores() >= 1 && physicalCores() <= availableParallelism())
})

loading('the files of the package are found, and a model inside an archive of Electron is an error', () => {
  assert.is(packageFolder(), root)
  assert.is(packageVersion(), JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version)
  writeFileSync(join(folder, 'm.pt'), '')
  assert.is(modelOutsideAsar(join(folder, 'm.pt')), join(folder, 'm.pt'))
  writeFileSync(join(folder, 'app.asar'), '')
  assert.is(modelOutsideAsar(join(folder, 'app.asar/m.pt')), join(folder, 'app.asar.unpacked/m.pt'))
})

loading('a LibTorch has its library in lib/ or beside it, and a CUDA build has one more', () => {
  for (const [name, found] of [
    ['lib/libtorch_cpu.so', true],
    ['libtorch_cpu.so', true],
    ['libtorch.so', false],
  ] as const) {
    const at = join(folder, name.replaceAll('/', '-'))
    write(join(at, name), '')
    assert.is(libraryFile(at), found ? join(at, name) : undefined)
    assert.is(hasCuda(at), false)
    write(join(at, name.replace('_cpu', '_cuda')), '')
    assert.is(hasCuda(at), found)
  }
  for (const [file, text, version] of [
    ['version.py', '__version__ = "2.12.0+cpu"\n', '2.12.0+cpu'],
    ['version.py', "debug = 1\n__version__='2.12.1'\n", '2.12.1'],
    ['version.py', 'version = 3\n', 'unknown'],
    ['build-version', ' 2.13.0\n', '2.13.0'],
    ['build-version', '\n', 'unknown'],
  ] as const) {
    const at = join(folder, `${text.length}${file}`)
    write(join(at, 'lib/libtorch_cpu.so'), '')
    write(join(at, file), text)
    assert.is(readVersion(at), version)
  }
  assert.is(readVersion(join(folder, 'none')), 'unknown')
})

loading('versions before 2.11 are too old', () => {
  for (const [version, old] of [
    ['2.10', true],
    ['2.10.9+cpu', true],
    ['1.99', true],
    ['2.11', false],
    ['2.11.0a0', false],
    ['2.12', false],
    ['3.0', false],
    ['2', false],
    ['x.1', false],
    ['unknown', false],
  ] as const)
    assert.is(isTooOld(version), old, version)
})

loading('the folders of set-up, and the order in which a LibTorch is looked for', () => {
  const cache = join(folder, 'cache')
  assert.equal(
    [oldCpuFolder(), cudaFolder(), pythonRecord()],
    ['libtorch-2.13.0-cpu', 'libtorch-2.14.1-cuda/torch', 'python-torch.json'].map((name) => join(cache, name)),
  )
  const record = (at: string, cuda?: unknown) => write(pythonRecord(), JSON.stringify({ folder: at, python: 'python3', cuda }))
  const python = fakeLibTorch(join(folder, 'python'), '2.12.1')
  fakeLibTorch(oldCpuFolder())
  for (const cuda of [undefined, false, 'true']) {
    record(python, cuda)
    assert.is(installedLibTorch()?.source, 'cache', 'a CPU build of a Python comes after one in the cache')
  }
  record(python, true)
  assert.equal(installedLibTorch(), { folder: python, source: 'python', version: '2.12.1' })
})

loading('a GPU without a LibTorch is an error with the whole remedy', () => {
  const cuda = () => libTorchFor({ device: 'cuda:1', precision: 'float32' }, () => false)
  const message = (gone: string) =>
    `ERR_LIBTORCH device 'cuda:1' needs a CUDA build of LibTorch, and no LibTorch is set up${gone}: run npx clip-es setup --cuda, point CLIP_ES_LIBTORCH to one of 2.11 or newer, or use device 'cpu'`
  assert.is(thrown(cuda), message(''))
  write(pythonRecord(), JSON.stringify({ folder: '/gone', python: 'python3' }))
  assert.is(thrown(cuda), message(' (the torch of python3 that set-up found at /gone does not exist any more)'))
  mkdirSync(join(folder, 'empty'))
  process.env.CLIP_ES_LIBTORCH = join(folder, 'empty')
  assert.is(
    thrown(cuda),
    `ERR_LIBTORCH CLIP_ES_LIBTORCH is ${join(folder, 'empty')}, but neither lib/libtorch_cpu.so nor libtorch_cpu.so is there: point it to a LibTorch (the folder that holds lib/), or unset it and run npx clip-es setup --cuda`,
  )
})

loading.run()
