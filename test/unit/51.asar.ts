// Where files of Electron's archives are for native code.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { modelOutsideAsar, outsideAsar } from '../../ts/files/asar.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-asar-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

test('a path in an archive becomes the path of the unpacked file', () => {
  for (const [path, expected] of [
    [
      '/opt/App/resources/app.asar/node_modules/clip-es/models/m.pt',
      '/opt/App/resources/app.asar.unpacked/node_modules/clip-es/models/m.pt',
    ],
    ['C:\\App\\app.asar\\node_modules\\m.pt', 'C:\\App\\app.asar.unpacked\\node_modules\\m.pt'],
    ['/App/app.asar/other.asar/m.pt', '/App/app.asar.unpacked/other.asar/m.pt'],
    ['/home/app.asar.unpacked/m.pt', '/home/app.asar.unpacked/m.pt'],
    ['/home/me/node_modules/clip-es/models/m.pt', '/home/me/node_modules/clip-es/models/m.pt'],
    ['/home/me/app.asar', '/home/me/app.asar'],
  ] as const)
    assert.is(outsideAsar(path), expected)
})

test('an archive that exists is a file; a folder with such a name stays as it is', () => {
  writeFileSync(join(folder, 'app.asar'), '')
  assert.is(outsideAsar(join(folder, 'app.asar/m.pt')), join(folder, 'app.asar.unpacked/m.pt'))
  mkdirSync(join(folder, 'folder.asar'))
  writeFileSync(join(folder, 'folder.asar/m.pt'), '')
  for (const map of [outsideAsar, modelOutsideAsar])
    assert.is(map(join(folder, 'folder.asar/m.pt')), join(folder, 'folder.asar/m.pt'))
})

test('a model that exists only inside an archive is an error that says where it must be', () => {
  // On Linux a name with a backslash is a file, which stands for one inside the archive.
  const inside = `${folder}/packed.asar\\m.pt`
  const outside = `${folder}/packed.asar.unpacked\\m.pt`
  writeFileSync(inside, '')
  assert.throws(
    () => modelOutsideAsar(inside),
    (error: { code: string; message: string }) =>
      error.code === 'ERR_MODEL_READ' &&
      error.message ===
        `${inside} is packed in an asar archive, which native code cannot read: let the packager leave it outside, as ${outside} (electron-builder: asarUnpack; Electron Forge: packagerConfig.asar.unpack)`,
  )
  writeFileSync(outside, '')
  assert.is(modelOutsideAsar(inside), outside)
})

test('process.noAsar, by which Electron shows archives as files, is left as it was', () => {
  const electron = process as NodeJS.Process & { noAsar?: boolean }
  assert.is(electron.noAsar, undefined)
  electron.noAsar = false
  outsideAsar(join(folder, 'app.asar/m.pt'))
  assert.is(electron.noAsar, false)
  delete electron.noAsar
})

test.run()
