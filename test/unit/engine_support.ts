// An engine that has no model, for whole runs of commands in this process.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { program } from '../../cli/src/main.js'
import { ClassSet } from '../../ts/classes/class_set.js'
import { type ClassSpec, type EncodeClassesOptions, type ImageData, Segmenter, type SegmentOptions } from '../../ts/index.js'
import { having } from './machine_support.js'
import { otherModelPath, temporaryFolder } from './support.js'

export const folder = temporaryFolder()
export const photos = join(folder, 'photos')
const model = {
  path: '/m.pt',
  fingerprint: '01ab',
  precision: 'float32',
  device: 'cpu',
  photosAtATime: 2,
  context: 77,
  embedding: 2,
  patch: 16,
}

/** Four photos, one of them damaged, their labels, and a class file. */
export async function makePhotos(): Promise<void> {
  mkdirSync(photos)
  for (const [i, name] of ['a.png', 'b.png', 'c.png'].entries())
    await sharp({ create: { width: 4 + i, height: 2, channels: 3, background: 'red' } }).toFile(join(photos, name))
  writeFileSync(join(photos, 'd.png'), 'damaged')
  writeFileSync(join(folder, 'labels.csv'), 'a.png,cat;dog\nb.png,dog\nc.png,dog;cat\nd.png,cat\nx.png,cat\n')
  writeFileSync(join(folder, 'classes.json'), JSON.stringify({ classes: [{ name: 'cat', colour: '#ff0000' }, { name: 'dog' }] }))
}

/** What an engine was asked, and whether it was closed. */
interface Asked {
  load: unknown[]
  classes: { specs: readonly ClassSpec[]; encoding: EncodeClassesOptions }[]
  segment: SegmentOptions[]
  closed: number
}

export function fakeEngine(refuse?: string) {
  const asked: Asked = { load: [], classes: [], segment: [], closed: 0 }
  const engine = {
    model,
    async encodeClasses(specs: readonly ClassSpec[], encoding: EncodeClassesOptions) {
      asked.classes.push({ specs, encoding })
      if (refuse) throw new Error(refuse)
      const names = specs.map((spec) => (typeof spec === 'string' ? spec : spec.name))
      return ClassSet.create({
        ...{
          names,
          background: ['sky'],
          droppedBackground: [],
          templates: ['a {}.'],
          fusion: 'sentence',
          fingerprint: '',
          embedding: 2,
        },
        ...{ rows: Float32Array.from(names.flatMap((_, i) => [1, i])), backgroundRows: Float32Array.of(0, 1) },
        ...{ labelThresholds: names.map(() => undefined), firstRow: Int32Array.from({ length: names.length + 1 }, (_, i) => i) },
      })
    },
    async segment({ width, height }: ImageData, classes: ClassSet, options: SegmentOptions) {
      asked.segment.push(options)
      const auto = options.labels === 'auto'
      const labels = auto
        ? ['dog']
        : ((options.labels ?? classes.names) as (string | number)[]).map((one) =>
            typeof one === 'number' ? classes.names[one] : one,
          )
      const mask = new Uint8Array(width * height).fill(2)
      return {
        ...{ width, height, mask, labels, scores: Float32Array.from(labels, () => 0.123456) },
        ...{ confidence: new Float32Array(mask.length).fill(0.5), cams: new Float32Array(mask.length * labels.length) },
        ...{ timings: { queue: 1, image: 2 }, ...(auto && { presence: Float32Array.of(0.654321) }) },
      }
    },
    async encode({ width }: ImageData) {
      return { embeddings: async () => ({ image: Float32Array.of(1, width / 10), logitScale: 1 }), dispose() {} }
    },
    async close() {
      asked.closed++
    },
  }
  return { asked, engine }
}

/** Runs a command with such an engine. */
export async function run(args: string[], refuse?: string) {
  const { asked, engine } = fakeEngine(refuse)
  const lines: string[] = []
  const errors: string[] = []
  const load = async (...given: unknown[]) => {
    asked.load.push(...given)
    return engine
  }
  const concurrency: unknown[] = []
  const before = process.cwd()
  process.chdir(folder)
  process.exitCode = undefined
  const spies = { log: (line: string) => lines.push(line), error: (line: string) => errors.push(line) }
  let failed: Error | undefined
  await having(Segmenter, { load }, () =>
    having(sharp, { concurrency: (n: number) => concurrency.push(n) }, () =>
      having(console, spies, async () => {
        await program()
          .parseAsync(args, { from: 'user' })
          .catch((error: Error) => {
            failed = error
          })
      }),
    ),
  )
  const status = process.exitCode
  process.exitCode = undefined
  process.chdir(before)
  return { asked, lines, errors, status, failed, concurrency }
}
export const engineFlags = ['--model', otherModelPath, '--precision', 'float32', '--threads', '3', '--max-side', '512']
export const read = (...path: string[]) => JSON.parse(readFileSync(join(folder, ...path), 'utf8'))

export const set = ['--folder', 'photos', '--class-file', 'classes.json']
export const labelled = [...set, '--labels', 'labels.csv']
