// examples/electron packed into an asar archive by the options of its forge.config.js, and read through the archive as Electron does it.
// Electron itself is not run.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createPackageWithOptions, listPackage } from '@electron/asar'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FailedReply, MasksReply, ModelNotice, PhotoReply, UnusableNotice } from '../../examples/electron/contract.js'
import { addonFile } from '../../ts/engine/native.js'
import { load, modelPath, scene } from '../integration/support.js'
import { connect } from './electron/page_port.js'
import { createHost, example, stopHosts } from './electron/processes.js'
import { root } from './support.js'

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'clip-es-asar-')))
test.after(() => rmSync(folder, { recursive: true, force: true }))

interface AsarOptions {
  unpack: string
}
const { packagerConfig } = require(join(example, 'forge.config.js')) as {
  packagerConfig: { asar: AsarOptions; ignore: RegExp[] }
}
const builder = require(join(example, 'electron-builder.config.js')) as { asarUnpack: string[] }

/** The application with its packages as npm installs them, and a model of its own. */
function makeApplication(): string {
  const app = join(folder, 'application')
  const left = (path: string) => packagerConfig.ignore.some((pattern) => pattern.test(path.slice(example.length)))
  cpSync(example, app, { recursive: true, filter: (path) => !left(path) && !path.includes('node_modules') })
  const modules = join(app, 'node_modules')
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: object }
  for (const name of Object.keys(dependencies)) cpSync(join(root, 'node_modules', name), join(modules, name), { recursive: true })
  for (const name of ['package.json', 'dist', 'data', 'models'])
    cpSync(join(root, name), join(modules, 'clip-es', name), { recursive: true })
  const prebuilds = join(modules, 'clip-es/prebuilds', `${process.platform}-${process.arch}`)
  mkdirSync(prebuilds, { recursive: true })
  cpSync(addonFile() as string, join(prebuilds, 'clip-es.node'))
  mkdirSync(join(app, 'models'))
  cpSync(modelPath, join(app, 'models/ViT-B-16.pt'))
  return app
}

const archive = join(folder, 'App/resources/app.asar')
const withoutModel = join(folder, 'Wrong/resources/app.asar')
test.before(async () => {
  const app = makeApplication()
  await createPackageWithOptions(app, archive, packagerConfig.asar)
  await createPackageWithOptions(app, withoutModel, { unpack: '*.node' })
  rmSync(app, { recursive: true }) // what follows reads the archives
})

const { CLIP_ES_MODEL: _, ...outer } = process.env
test.after.each(stopHosts)

/** Runs the engine of an archive. node-gyp-build takes a process with ELECTRON_RUN_AS_NODE for Electron. */
function start(file: string, env: NodeJS.ProcessEnv = {}) {
  const imports = [join(__dirname, 'electron/electron_fs.cjs')]
  return createHost(join(file, 'engine/index.js'), { imports, env: { ...outer, ELECTRON_RUN_AS_NODE: '1', ...env } })
}

test('only what native code opens is outside the archive, whichever packager makes it', () => {
  const unpacked = readdirSync(`${archive}.unpacked`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(archive.length + '.unpacked'.length))
  assert.equal(unpacked.sort(), [
    '/models/ViT-B-16.pt',
    '/node_modules/clip-es/models/emoji-clip.pt',
    `/node_modules/clip-es/prebuilds/${process.platform}-${process.arch}/clip-es.node`,
  ])
  const packed = listPackage(archive, { isPack: false })
  for (const file of ['/main/main.js', '/preload.js', '/page/index.html', '/node_modules/clip-es/dist/index.js'])
    assert.ok(packed.includes(file), `${file} is not packed`)
  const own = packed.filter((file) => !file.startsWith('/node_modules'))
  assert.equal(
    own.filter((file) => /README|tsconfig|forge|builder/.test(file)),
    [],
  )
  assert.equal(builder.asarUnpack, [`**/${packagerConfig.asar.unpack}`])
})

test('code in the archive finds the add-on, the model and the vocabulary, and makes the same masks', async () => {
  const { host, children } = start(archive)
  const { page } = connect(host)
  const { data, width, height, labels: words } = await scene('scene08')
  const notice = await page.reply<ModelNotice | UnusableNotice>(({ type }) => type === 'model' || type === 'unusable')
  assert.equal(notice, { type: 'model', path: `${archive}.unpacked/node_modules/clip-es/models/emoji-clip.pt`, demo: true })
  const mapped = readFileSync(`/proc/${children[0]?.pid}/maps`, 'utf8').match(/\S+\.node$/gm) ?? []
  const prebuild = `node_modules/clip-es/prebuilds/${process.platform}-${process.arch}/clip-es.node`
  assert.equal([...new Set(mapped)], [`${archive}.unpacked/${prebuild}`])

  const pixels = new Uint8ClampedArray(4 * width * height).map((__, i) =>
    i % 4 === 3 ? 255 : (data[(i >> 2) * 3 + (i % 4)] as number),
  )
  await page.ask<PhotoReply>({ type: 'photo', pixels, width, height })
  const { mask } = await page.ask<MasksReply>({ type: 'words', words, crf: false })
  await using segmenter = await load(undefined, { precision: 'auto' })
  const expected = await segmenter.segment({ data: pixels, width, height }, await segmenter.encodeClasses(words))
  assert.equal(mask, expected.mask)
})

test('a model that the application packs is found outside the archive', async () => {
  const { host } = start(archive, { CLIP_ES_MODEL: join(archive, 'models/ViT-B-16.pt') }) // as main.js sets it
  const { page } = connect(host)
  const notice = await page.reply<ModelNotice | UnusableNotice>(({ type }) => type === 'model' || type === 'unusable')
  assert.equal(notice, { type: 'model', path: `${archive}.unpacked/models/ViT-B-16.pt`, demo: false })
})

test('a model that was left inside the archive is an error that says how to unpack it', async () => {
  const { host } = start(withoutModel)
  const { page } = connect(host)
  const { error } = await page.reply<UnusableNotice>(({ type }) => type === 'unusable')
  assert.is(error.code, 'ERR_MODEL_READ')
  assert.match(
    error.message,
    /app\.asar\/.+emoji-clip\.pt is packed in an asar archive, .+ \(electron-builder: asarUnpack; Electron Forge: packagerConfig\.asar\.unpack/,
  )
  const { error: again } = await page.ask<FailedReply>({ type: 'photo', pixels: new Uint8ClampedArray(4), width: 1, height: 1 })
  assert.equal(again, error)
})

test('the add-on makes no external buffers, which Electron refuses', () => {
  // The names of the functions that an add-on takes from Node are in its file.
  const names: readonly string[] = readFileSync(addonFile() as string, 'latin1').match(/(napi|node_api)_create_[a-z_]+/g) ?? []
  assert.ok(names.includes('napi_create_promise'))
  assert.equal(
    names.filter((name) => name.includes('external')),
    [],
  )
})

test.run()
