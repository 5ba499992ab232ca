// Which files are taken for photos, and paths without links.
import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { join, sep } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { extensionsRead, isOtherPicture, isPhotoName, isWithin, realFolder, stemOf } from '../../cli/src/photos/names.js'
import { temporaryFolder } from './support.js'

const read = ['.jpg', '.jpeg', '.png', '.webp', '.avif', '.tif', '.tiff']
const others =
  '.heic .heif .hif .jfif .jpe .gif .bmp .jxl .jp2 .psd .svg .ppm .pgm .tga .exr .dng .cr2 .cr3 .nef .arw .orf .raf .rw2 .pef .srw'

test('photos and pictures that are not read are told apart by their extensions, in any case', () => {
  assert.equal(extensionsRead.split(', ').sort(), [...read].sort())
  for (const extension of read)
    for (const name of [`a${extension}`, `a.b${extension.toUpperCase()}`]) {
      assert.equal([isPhotoName(name), isOtherPicture(name)], [true, false], name)
      assert.is(stemOf(name), name.slice(0, -extension.length))
    }
  for (const extension of others.split(' '))
    for (const name of [`a${extension}`, `a${extension.toUpperCase()}`])
      assert.equal([isPhotoName(name), isOtherPicture(name), stemOf(name)], [false, true, name], name)
  for (const name of ['a', 'a.txt', 'png', '.png', 'a.png.txt', 'a.'])
    assert.equal([isPhotoName(name), isOtherPicture(name), stemOf(name)], [false, false, name], name)
})

test('a path lies in a folder if it is the folder or below it', () => {
  assert.ok(isWithin('/a/b', '/a/b') && isWithin('/a/b/c', '/a/b') && isWithin('/a', sep))
  for (const path of ['/a', '/a/bc', '/b', '/']) assert.not(isWithin(path, '/a/b'), path)
})

test('the path of a folder has no links, also where its end does not exist yet', () => {
  const folder = realpathSync(temporaryFolder())
  mkdirSync(join(folder, 'real'))
  symlinkSync('real', join(folder, 'link'))
  assert.is(realFolder(join(folder, 'link')), join(folder, 'real'))
  assert.is(realFolder(join(folder, 'link/new/one')), join(folder, 'real/new/one'))
  assert.is(realFolder('/no such folder/x'), '/no such folder/x')
})

test.run()
