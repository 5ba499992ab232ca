// Other native packages with threads, allocators and C++ runtimes of their own live in the same process: sharp (libvips) and
// onnxruntime-node. LibTorch is opened with RTLD_LOCAL, so that whoever comes second finds his own symbols.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { run } from './child.js'

type Guest = 'clip-es' | 'sharp' | 'onnxruntime-node'

function isInstalled(name: string): boolean {
  try {
    require.resolve(name)
    return true
  } catch {
    return false
  }
}

// Protocol buffers, as far as ONNX needs them: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
const integer = (field: number, value: number) => Buffer.from([field << 3, value])
const bytes = (field: number, ...parts: Buffer[]) => {
  const body = Buffer.concat(parts)
  const length = body.length < 128 ? [body.length] : [(body.length & 127) | 128, body.length >> 7]
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), body])
}
const text = (field: number, value: string) => bytes(field, Buffer.from(value))

const side = 64

/** result = a b + a, for two matrices of 64 x 64. */
function onnxModel(): Buffer {
  const node = (kind: string, inputs: string[], output: string) =>
    bytes(1, ...inputs.map((input) => text(1, input)), text(2, output), text(4, kind))
  const dimension = bytes(1, integer(1, side))
  const matrix = (field: number, name: string) =>
    bytes(field, text(1, name), bytes(2, bytes(1, integer(1, 1), bytes(2, dimension, dimension))))
  const nodes = [node('MatMul', ['a', 'b'], 'product'), node('Add', ['product', 'a'], 'result')]
  const graph = bytes(7, ...nodes, text(2, 'graph'), matrix(11, 'a'), matrix(11, 'b'), matrix(12, 'result'))
  return Buffer.concat([integer(1, 8), graph, bytes(8, integer(2, 13))])
}

/** What each guest gives in a process that loads and uses them in this order, then in turn, then all at once. Each always gives the same. */
function resultsOf(order: Guest[]): Partial<Record<Guest, string>> {
  return run(
    async ({ load, words, photo }, { order, model, side }) => {
      const { createHash } = require('node:crypto') as typeof import('node:crypto')
      const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
      const image = photo(160, 120)

      const segmenting = async () => {
        const segmenter = await load()
        const classes = await words(segmenter)
        return async () => hash((await segmenter.segment(image, classes)).mask)
      }
      const resizing = async () => {
        const sharp = require('sharp') as typeof import('sharp')
        const raw = { width: image.width, height: image.height, channels: 3 } as const
        return async () => hash(await sharp(image.data, { raw }).resize(333, 222).blur(2).raw().toBuffer())
      }
      const multiplying = async () => {
        const { env, InferenceSession, Tensor } = require('onnxruntime-node')
        env.logLevel = 'error' // it warns of machines without a GPU
        const session = await InferenceSession.create(Buffer.from(model, 'base64'))
        const a = Float32Array.from({ length: side * side }, (_, i) => (i % 7) - 3)
        const b = Float32Array.from({ length: side * side }, (_, i) => (i % 5) - 2)
        const expected = a.map((value, i) => {
          for (let k = 0; k < side; k++) value += (a[i - (i % side) + k] as number) * (b[k * side + (i % side)] as number)
          return value // whole numbers: exact
        })
        const tensor = (values: Float32Array) => new Tensor('float32', values, [side, side])
        return async () => {
          const { result } = await session.run({ a: tensor(a), b: tensor(b) })
          return (result.data as Float32Array).every((value, i) => value === expected[i]) ? 'right' : 'wrong'
        }
      }

      const guests = { 'clip-es': segmenting, sharp: resizing, 'onnxruntime-node': multiplying }
      const uses: (() => Promise<string>)[] = []
      const results: string[] = []
      for (const name of order) {
        const use = await guests[name]()
        results.push(await use())
        uses.push(use)
      }
      const check = (again: string, i: number) => {
        if (again !== results[i]) throw new Error(`${order[i]} gave something else than at first`)
      }
      for (let round = 0; round < 10; round++) for (const [i, use] of uses.entries()) check(await use(), i)
      for (let round = 0; round < 10; round++)
        for (const [i, again] of (await Promise.all(uses.map((use) => use()))).entries()) check(again, i)
      return Object.fromEntries(order.map((name, i) => [name, results[i] as string]))
    },
    { data: { order, model: onnxModel().toString('base64'), side } },
  )
}

const isHere = isInstalled('onnxruntime-node')
const onnxTest = testIf(isHere, 'onnxruntime-node is not installed (npm install --no-save --ignore-scripts onnxruntime-node)')

for (const [other, addTest] of [
  ['sharp', test],
  ['onnxruntime-node', onnxTest],
] as const)
  addTest(`with ${other} in one process, loaded before or after, results are those of separate processes`, () => {
    const separate = { ...resultsOf(['clip-es']), ...resultsOf([other]) }
    assert.is.not(separate[other], 'wrong')
    assert.equal(resultsOf(['clip-es', other]), separate)
    assert.equal(resultsOf([other, 'clip-es']), separate)
  })

onnxTest('all three work in one process, in both orders', () => {
  const all: Guest[] = ['sharp', 'clip-es', 'onnxruntime-node']
  const results = resultsOf(all)
  assert.equal(resultsOf(all.toReversed()), results)
})

test.run()
