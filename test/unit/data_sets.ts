// What the tests of data sets share: a folder to write them in, and VOC and COCO annotations.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { LabelIndex } from '../../cli/src/sources/label_index.js'
import { temporaryFolder } from './support.js'

/** Is removed when the process ends. */
export const root = temporaryFolder()
export const index = new LabelIndex(['cat', 'dog', 'person'])

/** Writes a file below the root. */
export function write(path: string, content: string | Buffer = ''): string {
  const file = join(root, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}

/** The function throws ERR_INVALID_ARG with this message. */
export function refused(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error: { code: string; message: string }) => {
    assert.is(error.code, 'ERR_INVALID_ARG')
    assert.match(error.message, message)
    return true
  })
}

/** An object of a VOC annotation. */
export const object = (name: string, more = '') => `<object>\n<name>${name}</name><difficult>1</difficult>${more}</object>`
/** The XML of a VOC annotation. */
export const annotation = (...objects: string[]) =>
  `<?xml version="1.0"?>\n<annotation><source><name>flickr</name></source><owner><name>dog</name></owner>${objects.join('')}</annotation>\n`

/** The JSON of COCO annotations, with some lists replaced. */
export const coco = (change: object = {}) =>
  JSON.stringify({
    images: [
      { id: 7, file_name: '007.jpg' },
      { id: 8, file_name: '008.jpg' },
      { id: 9, file_name: '009.jpg' },
      { id: 10, file_name: '../out.jpg' },
      { id: 11, file_name: '011.jpg' },
    ],
    annotations: [
      { image_id: 7, category_id: 18 },
      { image_id: 7, category_id: 17, iscrowd: 1 },
      { image_id: 7, category_id: 18 },
      { image_id: 9, category_id: 17 },
      { image_id: 11, category_id: 99 },
      { image_id: 5, category_id: 17 },
    ],
    categories: [
      { id: 17, name: 'cat' },
      { id: 18, name: 'dog' },
    ],
    ...change,
  })
