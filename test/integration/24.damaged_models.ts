// Files that are not model archives, and archives with damaged bytes.
import { closeSync, copyFileSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError, Segmenter } from '../../ts/index.js'
import { type Archive, pickled } from './archive.js'
import { answers, folder, write, writeModel } from './models.js'
import { load, modelPath, rejects, root } from './support.js'

test('a file that cannot be opened is ERR_MODEL_READ with its path', async () => {
  const table: [string, string][] = [
    [join(folder, 'nothing.pt'), 'No such file'],
    [folder, 'Is a directory'],
    [join(modelPath, 'below.pt'), 'Not a directory'],
    ['/dev/null', 'not a regular file'],
    [write('empty.pt', ''), 'it is empty'],
  ]
  for (const [path, why] of table) await rejects(load(path), 'ERR_MODEL_READ', path, why)
})

test('a file of another kind is ERR_MODEL_FORMAT, and common kinds are named', async () => {
  const table: [string, string | Buffer, string][] = [
    ['text.pt', 'This is a text.\n'.repeat(100), 'not a TorchScript archive'],
    ['byte.pt', 'P', 'not a TorchScript archive'],
    ['photo.pt', readFileSync(join(root, 'models/scenes/scene01.png')), 'not a TorchScript archive'],
    [
      'legacy.pt',
      Buffer.from(`8002 8a0a 6cfc 9c46 f920 6aa8 5019${'00'.repeat(200)}`.replaceAll(' ', ''), 'hex'),
      'before PyTorch 1.6',
    ],
    ['pickle.pt', Buffer.from(`8004${'95'.repeat(99)}`, 'hex'), 'bare Python pickle'],
    ['weights.pt', Buffer.from('\x40\0\0\0\0\0\0\0{"__metadata__":{}}', 'latin1'), 'safetensors'],
    ['pointer.pt', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', 'git lfs pull'],
    ['page.pt', '<!DOCTYPE html><html><body>Not found</body></html>', 'web page'],
    ['zip.pt', Buffer.from(`504b0506${'00'.repeat(18)}`, 'hex'), 'without data.pkl'],
  ]
  for (const [name, content, why] of table) await rejects(load(write(name, content)), 'ERR_MODEL_FORMAT', join(folder, name), why)
})

test('a damaged archive is ERR_MODEL_FORMAT, and the message names the tensor and the fault', async () => {
  const shape = (rows: number, columns: number) => Buffer.from([0x28, 0x4b, rows, 0x4b, columns, 0x74])
  const reshape = (rows: number, columns: number) => (archive: Archive) => {
    const pickle = archive.record('data.pkl')
    const at = pickle.indexOf(shape(64, 128), pickle.indexOf('text_projection'))
    shape(rows, columns).copy(pickle, at)
  }
  const rename = (from: string, to: string) => (archive: Archive) => archive.patchPickle(pickled(from), pickled(to))
  const table: [string, (archive: Archive) => void, ...string[]][] = [
    ['nan.pt', (a) => a.record('data/0').writeFloatLE(Number.NaN, 4 * 99), 'tensor positional_embedding', 'not finite (nan)'],
    ['infinite.pt', (a) => a.record('data/86').writeUInt16LE(0xfc00, 6e6), 'tensor token_embedding.weight', 'not finite (-inf)'],
    ['rows.pt', reshape(32, 128), 'tensor text_projection is (32, 128)', '(64, 128)'],
    ['columns.pt', reshape(64, 64), 'tensor visual.proj is (128, 128)', 'text_projection has embeddings of size 64'],
    ['reach.pt', reshape(65, 128), 'tensor text_projection', 'of a storage that has 8192'],
    ['missing.pt', rename('ln_post', 'ln_last'), 'tensor visual.ln_post.weight is missing'],
    ['text.pt', rename('token_embedding', 'words'), 'tensor token_embedding.weight is missing'],
    ['resnet.pt', rename('conv1', 'layer1.0.conv1'), 'ResNet', 'ViT-B-16.pt'],
    ['config.pt', (a) => a.add('extra/clip-es.json', '{"activation": "relu"}'), 'clip-es.json: activation is "relu"'],
    ['heads.pt', (a) => a.add('extra/clip-es.json', '{"heads": {"image": 3}}'), 'width 128', '3 heads'],
    ['json.pt', (a) => a.add('extra/clip-es.json', '{"heads"'), 'clip-es.json'],
  ]
  for (const [name, spoil, ...parts] of table) {
    const file = writeModel(name, spoil)
    await rejects(load(file), 'ERR_MODEL_FORMAT', file, ...parts)
  }
})

test('an archive cut off anywhere is an error with its path', async () => {
  const file = join(folder, 'cut.pt')
  copyFileSync(modelPath, file)
  const size = statSync(file).size
  const descriptor = openSync(file, 'r+')
  const lengths = [
    ...Array.from({ length: 60 }, (_, i) => size - 1 - i),
    ...Array.from({ length: 40 }, (_, i) => size - 61 - i * 379),
    ...Array.from({ length: 30 }, (_, i) => Math.round((size * (30 - i)) / 31)),
    ...[100, 31, 30, 22, 21, 4, 3, 1],
  ].sort((a, b) => b - a)
  for (const length of lengths) {
    ftruncateSync(descriptor, length)
    await rejects(load(file, { threads: 1 }), 'ERR_MODEL_FORMAT', file, /directory|cut short|TorchScript|download/)
  }
  closeSync(descriptor)
})

/** The same numbers in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

interface Damage {
  at: number
  bit: number
}

/** Bits to flip: in the directory, in headers and pickles, and in the weights. */
function damages(bytes: Buffer): Damage[] {
  const random = randomNumbers(1)
  const directory = bytes.readUInt32LE(bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1') + 16)
  const pickle = bytes.indexOf('data.pkl')
  const headers: number[] = []
  for (let at = 0; at >= 0 && at < directory; at = bytes.indexOf('PK\x03\x04', at + 1, 'latin1')) headers.push(at)
  const spread = (count: number, place: () => number) => Array.from({ length: count }, () => ({ at: place(), bit: random(8) }))
  return [
    ...spread(60, () => directory + random(bytes.length - directory)),
    ...spread(15, () => bytes.length - 1 - random(98)), // the zip's end records
    ...spread(40, () => (headers[random(headers.length)] as number) + random(30)),
    ...spread(40, () => pickle + random(8500)),
    ...spread(45, () => random(directory)),
  ]
}

test('a flipped bit gives an error with a code, or the same results', async () => {
  const bytes = readFileSync(modelPath)
  const expected = await answers(await load())
  const file = write('flipped.pt', bytes)
  const descriptor = openSync(file, 'r+')
  const outcomes = { refused: 0, same: 0 }
  for (const { at, bit } of damages(bytes)) {
    const original = bytes[at] as number
    writeSync(descriptor, Buffer.of(original ^ (1 << bit)), 0, 1, at)
    const segmenter = await load(file, { threads: 1 }).catch((error: unknown) => error)
    writeSync(descriptor, Buffer.of(original), 0, 1, at)
    if (segmenter instanceof Segmenter) {
      assert.equal(await answers(segmenter), expected, `bit ${bit} of byte ${at}`)
      outcomes.same++
    } else {
      assert.instance(segmenter, ClipEsError, `bit ${bit} of byte ${at}: ${segmenter}`)
      assert.is((segmenter as ClipEsError).code, 'ERR_MODEL_FORMAT')
      outcomes.refused++
    }
  }
  closeSync(descriptor)
  assert.is(outcomes.same + outcomes.refused, 200)
  assert.ok(outcomes.refused > 100 && outcomes.same > 5, JSON.stringify(outcomes))
})

test('a flipped bit in the pickle with a valid checksum gives an error with a code, or a model with finite results', async () => {
  const random = randomNumbers(2)
  const outcomes = { refused: 0, loaded: 0 }
  for (let i = 0; i < 30; i++) {
    const file = writeModel('pickle.pt', (archive) => {
      const pickle = archive.record('data.pkl')
      const at = random(pickle.length)
      pickle[at] = (pickle[at] as number) ^ (1 << random(8))
    })
    const segmenter = await load(file, { threads: 1 }).catch((error: unknown) => error)
    if (segmenter instanceof Segmenter) {
      const { scores, cams } = await answers(segmenter)
      assert.ok(scores.every(Number.isFinite) && cams.every(Number.isFinite), `flip ${i}`)
      outcomes.loaded++
    } else {
      assert.instance(segmenter, ClipEsError, `flip ${i}: ${segmenter}`)
      assert.is((segmenter as ClipEsError).code, 'ERR_MODEL_FORMAT')
      outcomes.refused++
    }
  }
  assert.ok(outcomes.refused > 10 && outcomes.loaded > 1, JSON.stringify(outcomes))
})

test.run()
