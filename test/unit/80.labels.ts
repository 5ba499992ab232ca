import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LabelIndex } from '../../ts/dataset/label_index.js'
import { readLabels } from '../../ts/dataset/labels.js'
import { classSets } from '../../ts/text/prompts.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-'))
test.after(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const read = (name: string, text: string) => Object.fromEntries(readLabels(file(name, text)))

function refused(work: () => unknown, message: RegExp): void {
  assert.throws(work, (error: { code: string; message: string }) => {
    assert.is(error.code, 'ERR_INVALID_ARG')
    assert.match(error.message, message)
    return true
  })
}

const both = { 'a/x.jpg': ['cat', 'ice cream'], y: ['dog'] }

test('labels from a CSV file: columns, or one column with ; or | between them; a header, quotes, blank lines', () => {
  assert.equal(read('a.csv', 'a/x.jpg,cat,ice cream\ny,dog\n'), both)
  assert.equal(read('b.csv', '\ufeffimage,labels\r\n"a/x.jpg","cat; ice cream"\r\n\r\ny,dog\r\n'), both)
  assert.equal(read('c.csv', 'a/x.jpg,cat|ice cream\ny,dog,,\n'), both)
  assert.equal(read('d.csv', 'file,label\na/x.jpg,cat\ny,dog\na/x.jpg,ice cream\n'), both, 'a line for each label')
})

test('labels from a JSON file: an object of lists, of objects, or a list', () => {
  assert.equal(read('a.json', JSON.stringify(both)), both)
  assert.equal(read('b.json', JSON.stringify({ 'a/x.jpg': { labels: ['cat', 'ice cream'] }, y: { labels: ['dog'] } })), both)
  assert.equal(
    read(
      'c.json',
      JSON.stringify([
        { image: 'a/x.jpg', labels: ['cat', 'ice cream'] },
        { file_name: 'y', labels: ['dog'] },
      ]),
    ),
    both,
  )
})

test('labels from a text file: words of a line, with _ for a blank', () => {
  assert.equal(read('a.txt', '# photos\na/x.jpg cat ice_cream\n\n y\tdog \n'), {
    'a/x.jpg': ['cat', 'ice_cream'],
    y: ['dog'],
  })
  assert.equal(read('none.txt', 'x\n'), { x: [] }, 'a photo without labels is one')
})

test('a labels file that cannot be read as one is refused by name, and by line where there is one', () => {
  refused(
    () => readLabels(join(folder, 'labels.xml')),
    /labels\.xml: labels are read from \.csv, \.json, \.txt files; this one is '\.xml'/,
  )
  refused(() => readLabels(join(folder, 'missing.csv')), /missing\.csv: ENOENT/)
  refused(() => read('e.csv', 'x,"cat\ny,dog'), /e\.csv: .*line/i)
  refused(() => read('e.json', '{"x": ["cat"'), /e\.json: is no JSON/)
  refused(() => read('f.json', '{"x": "cat"}'), /f\.json: 'x' has no list of labels/)
  refused(() => read('g.json', '[{"labels": ["cat"]}]'), /g\.json: \[0\] names no photo/)
  refused(() => read('e.txt', '\n# nothing\n'), /e\.txt: there is no photo in it/)
  refused(() => readLabels(file('l.txt', '').replace('l.txt', 'latin1.txt')), /ENOENT/)
  writeFileSync(join(folder, 'latin1.txt'), Buffer.from('x café', 'latin1'))
  refused(() => readLabels(join(folder, 'latin1.txt')), /latin1\.txt: is not UTF-8 text/)
})

test('labels are classes by name, without regard to case and underscores', () => {
  const index = new LabelIndex(['cat', 'ice cream', 'Hot_Dog'])
  assert.equal(index.resolve(['ice_cream', 'Cat', 'hot dog', 'cat']), [0, 1, 2], 'each once, in the order of the classes')
  assert.equal(index.resolve([]), [])
})

test('a label that is no class is refused with the nearest one', () => {
  const index = new LabelIndex(['cat', 'ice cream'])
  refused(
    () => index.resolve(['cat', 'ice_craem']),
    /^the label 'ice_craem' is no class of the class file; did you mean 'ice cream'\?$/,
  )
  refused(() => index.resolve(['xylophone']), /^the label 'xylophone' is no class of the class file$/)
})

test("COCO's names for six classes are VOC's, and the other way round", () => {
  const voc = new LabelIndex(classSets.voc.classes.map(({ name }) => name))
  assert.equal(
    ['airplane', 'dining table', 'motorcycle', 'potted plant', 'couch', 'tv'].map((name) => voc.names[voc.find(name) as number]),
    ['aeroplane', 'diningtable', 'motorbike', 'pottedplant', 'sofa', 'tvmonitor'],
  )
  assert.is(new LabelIndex(['airplane']).find('aeroplane'), 0)
  assert.is(voc.find('giraffe'), undefined)
})

test.run()
