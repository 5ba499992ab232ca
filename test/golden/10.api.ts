// The whole way through the API, compared with the results of the definition in float64 (tools/golden), in the photos' small and real sizes.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readNpy } from '../../ts/formats/npy.js'
import { type ClassSet, Segmenter } from '../../ts/index.js'
import { largestDifference, readPpm } from './ppm.js'

// Largest differences allowed in float32 on a CPU.
const limit = { scores: 2e-5, cams: 5e-5, confidence: 5e-5, maskShare: 0.001 }

const here = __dirname
const full = process.env.CLIP_ES_GOLDEN_FULL
const folders = [join(here, 'small'), ...(full ? [full] : [])]

const test = suite<{ segmenter: Segmenter; folder: string }>('golden')
if (!full) {
  console.log('skipped: full-size photos: CLIP_ES_GOLDEN_FULL does not name their folder')
  test.skip()
}

test.before(async (context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'clip-es-golden-'))
  context.segmenter = await Segmenter.load(join(here, 'vit-small-random.pt'), {
    precision: 'float32',
    threads: 2,
    maxSide: Number.POSITIVE_INFINITY,
  })
})
test.after(async (context) => {
  rmSync(context.folder, { recursive: true })
  await context.segmenter.close()
})

interface Texts {
  classes: string[]
  background: string[]
  template: string
}

/** The class set with other embeddings of the labels: the golden ones, where a case has moved them. */
async function withRows(segmenter: Segmenter, classes: ClassSet, folder: string, labels: ArrayLike<number>, rows: Float32Array) {
  const file = join(folder, 'classes.safetensors')
  await classes.save(file)
  const bytes = readFileSync(file)
  const begin = 8 + Number(bytes.readBigUInt64LE())
  const size = segmenter.model.embedding * 4
  for (let k = 0; k < labels.length; k++)
    Buffer.from(rows.buffer, k * size, size).copy(bytes, begin + (labels[k] as number) * size)
  writeFileSync(file, bytes)
  return await segmenter.loadClasses(file)
}

for (const folder of folders) {
  const { classes, background, template } = JSON.parse(readFileSync(join(folder, 'texts/texts.json'), 'utf8')) as Texts
  const cases = readdirSync(folder, { withFileTypes: true }).filter((entry) => existsSync(join(folder, entry.name, 'photo.ppm')))

  test(`${cases.length} cases are there to compare with in ${folder === full ? 'the full-size folder' : 'small'}`, () => {
    assert.ok(cases.length > 0)
  })

  for (const { name } of cases)
    test(`${name}: scores, maps, confidence and mask are those of the definition`, async (context) => {
      const { segmenter } = context
      const read = (stage: string) => readNpy(readFileSync(join(folder, name, `${stage}.npy`)))
      const labels = [...read('class_ids').values]
      const encoded = await segmenter.encodeClasses(classes, { template, background })
      const texts = name.endsWith('_saturated')
        ? await withRows(segmenter, encoded, context.folder, labels, read('texts').values as Float32Array)
        : encoded
      const r = await segmenter.segment(readPpm(join(folder, name, 'photo.ppm')), texts, {
        labels,
        include: ['confidence', 'cams'],
      })

      const goldenMask = read('mask').values
      let different = 0
      for (let i = 0; i < goldenMask.length; i++) {
        const golden = goldenMask[i] as number
        const wanted = golden === 0 ? 0 : (labels[golden - 1] as number) + 1 // golden masks count the labels, ours the class set
        if (r.mask[i] !== wanted) different++
      }
      const found = {
        scores: largestDifference(r.scores, read('probabilities').values.subarray(0, labels.length)),
        cams: largestDifference(r.cams as Float32Array, read('refined_full').values),
        confidence: largestDifference(r.confidence as Float32Array, read('confidence').values),
        maskShare: different / goldenMask.length,
      }
      console.log(
        `  ${name}: ${Object.entries(found)
          .map(([stage, value]) => `${stage} ${value.toExponential(1)}`)
          .join(', ')}`,
      )
      assert.is(r.mask.length, goldenMask.length)
      for (const [stage, value] of Object.entries(found))
        assert.ok(value <= limit[stage as keyof typeof limit], `${stage} ${value}`)
    })
}

test.run()
