import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LabelIndex } from '../../cli/src/sources/label_index.js'
import { readLabels } from '../../cli/src/sources/labels.js'
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

test('columns can be separated by semicolons or tabs, which many spreadsheets write', () => {
  assert.equal(read('s1.csv', 'a/x.jpg;cat;ice cream\ny;dog\n'), both)
  assert.equal(read('s2.csv', '\ufeffimage;labels\r\na/x.jpg;cat|ice cream\r\ny;dog\r\n'), both)
  assert.equal(read('s3.csv', 'image;labels\na/x.jpg;"cat, ice cream"\ny;dog\n'), both)
  assert.equal(read('s4.csv', 'image\tlabels\na/x.jpg\tcat,ice cream\ny\tdog\n'), both)
  assert.equal(read('s5.csv', '"a;b,c.jpg",cat;dog\n'), { 'a;b,c.jpg': ['cat', 'dog'] })
  assert.equal(read('s6.csv', 'image\nx.jpg\n'), { 'x.jpg': [] })
})

test('one-hot tables: a header of class names, 1 where the photo shows the class', () => {
  assert.equal(read('h1.csv', 'image,cat,dog,ice cream\na/x.jpg,1,0,1\ny,0,1,0\n'), both)
  assert.equal(read('h2.csv', ';cat;dog;ice cream\na/x.jpg;1.0;0.0;1.0\ny;;1;0\n'), both)
  assert.equal(read('h3.csv', 'Picture,cat,dog,ice cream\na/x.jpg,True,False,TRUE\ny,-1,1,-1\n'), both)
  assert.equal(read('h4.csv', 'image,cat\na.jpg,0\nb.jpg,1\n'), { 'a.jpg': [], 'b.jpg': ['cat'] })
  assert.equal(read('h5.csv', 'a.jpg,1\nb.jpg,0\n'), { 'a.jpg': ['1'], 'b.jpg': ['0'] }, 'classes that are called so')
  assert.equal(
    read('h.json', '{"a/x.jpg": {"cat": 1, "dog": 0, "ice cream": true}, "y": {"labels": {"dog": 1, "cat": false}}}'),
    both,
  )
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

test('each name of a column of photos is known, in a header and in JSON', () => {
  const names = ['image', 'photo', 'file', 'filename', 'file_name', 'image_id', 'image_name', 'imagename', 'id', 'name', 'path']
  for (const name of names) {
    assert.equal(read('n.csv', `${name.toUpperCase()},label\nx.jpg,cat\n`), { 'x.jpg': ['cat'] }, name)
    assert.equal(read('n.json', JSON.stringify([{ [name]: 'x.jpg', labels: ['cat'] }])), { 'x.jpg': ['cat'] }, name)
  }
  assert.equal(read('n.csv', 'picture,label\nx.jpg,cat\n'), { picture: ['label'], 'x.jpg': ['cat'] })
  assert.equal(read('m.json', JSON.stringify([{ photo: 3, file: 'x.jpg', labels: [] }])), { 'x.jpg': [] })
})

test('each word for yes and no is known, and a table with anything else is not one-hot', () => {
  for (const yes of ['1', '1.0', 'true', 'YES'])
    for (const no of ['0', '0.0', '-1', 'False', 'no', '']) {
      assert.equal(read('w.csv', `image,cat,dog\nx,${yes},${no}\n`), { x: ['cat'] }, `${yes} and '${no}'`)
      assert.equal(read('w.csv', `image,cat,dog\nx,0,${no}\ny,${no},${yes}\n`), { x: [], y: ['dog'] }, `${no} and ${yes}`)
    }
  assert.equal(read('w.csv', 'image,cat,dog\nx,1,2\n'), { x: ['1', '2'] })
  assert.equal(read('w.csv', 'image,cat,dog\nx,1\n'), { x: ['1'] }, 'a row of another length')
  assert.equal(read('w.csv', 'image,cat\nx,\n'), { x: [] }, 'no flag at all')
  assert.equal(read('w.csv', 'image,1\nx,1\n'), { x: ['1'] }, 'a class that is called 1')
  assert.equal(read('w.csv', 'image,cat\n,1\nx,1\n'), { x: ['cat'] }, 'a row without a photo')
  assert.equal(read('w.json', '{"x": {"cat": true, "dog": 0}, "y": {"labels": {"cat": 0}}}'), { x: ['cat'], y: [] })
})

test('labels from a text file: words of a line, with _ for a blank', () => {
  assert.equal(read('a.txt', '# photos\na/x.jpg cat ice_cream\n\n y\tdog \n'), {
    'a/x.jpg': ['cat', 'ice_cream'],
    y: ['dog'],
  })
  assert.equal(read('none.txt', 'x\n'), { x: [] }, 'a photo without labels is one')
})

test('a wrong labels file is refused with its name, and with the line if there is one', () => {
  refused(
    () => readLabels(join(folder, 'labels.xml')),
    /labels\.xml: labels are read from \.csv, \.json, \.txt files; this one is '\.xml'/,
  )
  refused(
    () => readLabels(join(folder, 'missing.csv')),
    /there is no labels file .*missing\.csv; name an existing one with --labels/,
  )
  refused(() => read('e.csv', 'x,"cat\ny,dog'), /e\.csv: .*line/i)
  refused(() => read('e.json', '{"x": ["cat"'), /e\.json: is not JSON \(.+\)$/)
  for (const text of ['3', 'null', '"x"'])
    refused(() => read('e.json', text), /e\.json: must be an object or a list of photos with their labels$/)
  for (const value of ['"cat"', '{"cat": 2}', '{}', '[3]', '{"labels": "cat"}', 'null'])
    refused(() => read('f.json', `{"x": ${value}}`), /f\.json: 'x' has no list of labels; write \["…", "…"\]$/)
  for (const entry of ['{"labels": ["cat"]}', '{"image": 3, "labels": []}', 'null'])
    refused(() => read('g.json', `[${entry}]`), /g\.json: \[0\] names no photo; write \{ "image": "…", "labels": \["…"\] \}$/)
  refused(() => read('e.txt', '\n# nothing\n'), /e\.txt: it names no photo; write a line/)
  refused(() => readLabels(file('l.txt', '').replace('l.txt', 'latin1.txt')), /there is no labels file/)
  writeFileSync(join(folder, 'latin1.txt'), Buffer.from('x café', 'latin1'))
  refused(() => readLabels(join(folder, 'latin1.txt')), /latin1\.txt: is not UTF-8 text/)
})

test('labels match class names without regard to case and underscores', () => {
  const index = new LabelIndex(['cat', 'ice cream', 'Hot_Dog'])
  assert.equal(index.resolve(['ice_cream', 'Cat', 'hot dog', 'cat']), [0, 1, 2], 'each once, in the order of the classes')
  assert.equal(index.resolve([]), [])
})

test('a label that is not a class is refused with the nearest class', () => {
  const index = new LabelIndex(['cat', 'ice cream'])
  refused(
    () => index.resolve(['cat', 'ice_craem']),
    /^the class file has no class named 'ice_craem'; did you mean 'ice cream'\?$/,
  )
  refused(() => index.resolve(['xylophone']), /^the class file has no class named 'xylophone'$/)
})

test('a label that matches two classes must be written exactly as one of them', () => {
  const index = new LabelIndex(['Mouse', 'mouse', 'cat'])
  assert.equal(index.resolve(['mouse']), [1])
  assert.equal(index.resolve(['Mouse']), [0])
  refused(
    () => index.resolve(['MOUSE']),
    /'MOUSE' can mean each of the classes 'Mouse', 'mouse'; write it exactly as in the class file/,
  )
  refused(
    () => new LabelIndex(['a_b', 'A b', 'a B']).find('A_B'),
    /^the label 'A_B' can mean each of the classes 'a_b', 'A b', 'a B'; write it exactly as in the class file$/,
  )
  assert.equal(new LabelIndex(['caf\u00e9']).resolve(['cafe\u0301']), [0])
})

test("COCO's and VOC's names for six classes are interchangeable", () => {
  const voc = new LabelIndex(classSets.voc.classes.map(({ name }) => name))
  assert.equal(
    ['airplane', 'dining table', 'motorcycle', 'potted plant', 'couch', 'tv'].map((name) => voc.names[voc.find(name) as number]),
    ['aeroplane', 'diningtable', 'motorbike', 'pottedplant', 'sofa', 'tvmonitor'],
  )
  assert.is(new LabelIndex(['airplane']).find('aeroplane'), 0)
  assert.is(voc.find('giraffe'), undefined)
})

test.run()
