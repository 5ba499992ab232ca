// clip-es prompts --thresholds: how thresholds are chosen and judged, without a model.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { calibrate, type JudgedPhoto, qualityOf, sumCounts } from '../../cli/src/prompts/thresholds.js'
import { thresholdTable } from '../../cli/src/prompts/thresholds_table.js'
import { defaults } from '../../ts/index.js'
import { randomNumbers } from '../e2e/demo_set.js'

/** Photos in which present classes tend to have a higher presence; each class differs. */
function randomPhotos(count: number, classes: number, seed: number): JudgedPhoto[] {
  const random = randomNumbers(seed)
  return Array.from({ length: count }, () => {
    const labels = Array.from({ length: classes }, (_, c) => c).filter(() => random() < 0.3)
    const presence = Array.from({ length: classes }, (_, c) => {
      if (random() < 0.4) return 0
      return Math.min(1, (0.2 + 0.1 * c) * random() + (labels.includes(c) ? 0.3 * random() : 0))
    })
    return { presence, labels }
  })
}

/** The classes that are found in photos, by a threshold for each photo and class. */
function countsOf(photos: readonly JudgedPhoto[], c: number, thresholdOf: (photo: JudgedPhoto) => number | undefined) {
  const found = photos.filter((photo) => (photo.presence[c] as number) >= (thresholdOf(photo) ?? defaults.labelThreshold))
  const there = photos.filter(({ labels }) => labels.includes(c))
  return { hits: found.filter((photo) => there.includes(photo)).length, found: found.length, there: there.length }
}

test('classes that a threshold can separate are separated', () => {
  const photos = Array.from({ length: 40 }, (_, i) => ({
    presence: i % 2 ? [0.5, 0.1] : [0.3, 0.04],
    labels: i % 2 ? [0, 1] : [],
  }))
  const [first, second] = calibrate(photos, 2)
  assert.ok((first?.threshold as number) > 0.3 && (first?.threshold as number) <= 0.5)
  assert.ok((second?.threshold as number) > 0.04 && (second?.threshold as number) <= 0.1)
  assert.equal(first?.leftOut, { hits: 20, found: 20, there: 20 })
  assert.equal(second?.leftOut, { hits: 20, found: 20, there: 20 })
  assert.equal(first?.atDefault, { hits: 20, found: 40, there: 20 })
  assert.equal(second?.atDefault, { hits: 0, found: 0, there: 20 })
})

test('each photo is judged by what the other photos choose', () => {
  const photos = randomPhotos(25, 4, 3)
  const found = calibrate(photos, 4)
  for (let c = 0; c < 4; c++) {
    const others = (photo: JudgedPhoto) =>
      calibrate(
        photos.filter((other) => other !== photo),
        4,
      )[c]?.threshold
    assert.equal(found[c]?.leftOut, countsOf(photos, c, others))
    assert.equal(
      found[c]?.atDefault,
      countsOf(photos, c, () => undefined),
    )
  }
})

test('a class that few photos have gets nearly the threshold of all classes, and its own with more photos', () => {
  const common = Array.from({ length: 60 }, (_, i) => ({ presence: [i % 2 ? 0.3 : 0.2, 0], labels: i % 2 ? [0] : [] }))
  const rare = (count: number) =>
    Array.from({ length: 2 * count }, (_, i) => ({ presence: [0, i % 2 ? 0.8 : 0.5], labels: i % 2 ? [1] : [] }))
  const thresholdWith = (count: number) => calibrate([...common, ...rare(count)], 2)[1]?.threshold as number
  assert.ok(thresholdWith(1) <= 0.3)
  assert.ok(thresholdWith(60) > 0.5)
})

test('of equally good thresholds the nearest to the default is chosen', () => {
  const photos = [
    { presence: [0.9], labels: [0] },
    { presence: [0.9], labels: [0] },
    { presence: [0.05], labels: [] },
  ]
  assert.is(calibrate(photos, 1)[0]?.threshold, defaults.labelThreshold)
})

test('a class that is in no photo keeps the default', () => {
  const [, other] = calibrate([{ presence: [0.5, 0.3], labels: [0] }], 2)
  assert.equal(other, {
    threshold: undefined,
    atDefault: { hits: 0, found: 1, there: 0 },
    leftOut: { hits: 0, found: 1, there: 0 },
  })
})

test('precision, recall and F1, as computed by hand', () => {
  assert.equal(qualityOf({ hits: 2, found: 4, there: 3 }), { precision: 0.5, recall: 2 / 3, f1: 4 / 7 })
  assert.equal(qualityOf({ hits: 0, found: 0, there: 3 }), { precision: null, recall: 0, f1: 0 })
  assert.equal(qualityOf({ hits: 0, found: 0, there: 0 }), { precision: null, recall: null, f1: null })
  assert.equal(
    sumCounts([
      { hits: 1, found: 2, there: 3 },
      { hits: 4, found: 5, there: 6 },
    ]),
    { hits: 5, found: 7, there: 9 },
  )
})

test('the table has a line for each class that is in a photo or was found, and one for all', () => {
  const counts = (hits: number, found: number, there: number) => ({ hits, found, there })
  const lines = thresholdTable(
    ['cat', 'dog', 'fish'],
    [
      { threshold: 0.2, atDefault: counts(2, 4, 3), leftOut: counts(2, 2, 3) },
      { threshold: undefined, atDefault: counts(0, 0, 0), leftOut: counts(0, 0, 0) },
      { threshold: undefined, atDefault: counts(0, 1, 0), leftOut: counts(0, 1, 0) },
    ],
  ).split('\n')
  assert.is(lines.length, 5)
  const cells = (line: string | undefined) => line?.split(/ {2,}/)
  assert.equal(cells(lines[2]), ['cat', '3', '50.0', '66.7', '57.1', '0.20', '100.0', '66.7', '80.0'])
  assert.equal(cells(lines[3]), ['fish', '0', '0.0', '–', '0.0', 'default', '0.0', '–', '0.0'])
  assert.equal(cells(lines[4]), ['all classes', '3', '40.0', '66.7', '50.0', '66.7', '66.7', '66.7'])
})

test.run()
