// Which part of a photo its patches propose for a class.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cropBox } from '../../ts/labels/crop.js'
import { classBox, largestInBox, largestValues, smoothPatches } from '../../ts/labels/patches.js'

/** Numbers from 0 to 1, always the same. */
function randomNumbers(): () => number {
  let state = 1
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}

const near = (found: Float64Array, wanted: readonly number[]) => {
  assert.is(found.length, wanted.length)
  for (const [i, value] of wanted.entries()) assert.ok(Math.abs((found[i] as number) - value) < 1e-12, `${i}: ${found[i]}`)
}

test('a patch is averaged with its neighbours inside the grid, without background texts', () => {
  // 3 x 2 patches, 2 classes and 1 background text.
  const first = [0.6, 0, 0.3, 0, 0, 0.9]
  const probabilities = Float64Array.from(first.flatMap((p, i) => [p, i / 10, 1 - p]))
  const smooth = smoothPatches(probabilities, { width: 3, height: 2 }, 2)
  const left = (0.6 + 0 + 0 + 0) / 4
  const middle = (0.6 + 0.3 + 0.9) / 6
  const right = (0.3 + 0.9) / 4
  near(
    smooth.filter((_, i) => i % 2 === 0),
    [left, middle, right, left, middle, right],
  )
  near(largestValues(smooth, 2), [0.3, (0.1 + 0.2 + 0.4 + 0.5) / 4])
})

test('the box of a class is the connected patches around its peak', () => {
  const rows = [
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.5, 0.9, 0.0, 0.0],
    [0.0, 0.0, 0.4, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.1, 0.0, 0.0, 0.8],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
  ]
  const grid = { width: 6, height: 5 }
  const smooth = Float64Array.from(rows.flat().flatMap((p) => [1 - p, p]))
  assert.equal(classBox(smooth, grid, 2, 1, 0.4), { left: 2, top: 1, right: 4, bottom: 3 })
  assert.equal(classBox(smooth, grid, 2, 1, 0.5), { left: 2, top: 1, right: 4, bottom: 2 })
  assert.equal(classBox(smooth, grid, 2, 1, 0), { left: 0, top: 0, right: 6, bottom: 5 })
})

test('a box does not run over the right edge into the next row', () => {
  // Row by row: the peak at the right edge is followed by a high value at the left edge.
  const grid = { width: 4, height: 3 }
  const rows = [
    [0, 0, 0, 0.9],
    [0.8, 0, 0, 0],
    [0, 0, 0, 0],
  ]
  assert.equal(classBox(Float64Array.from(rows.flat()), grid, 1, 0, 0.4), { left: 3, top: 0, right: 4, bottom: 1 })
  const turned = Float64Array.from(rows.flat().toReversed())
  assert.equal(classBox(turned, grid, 1, 0, 0.4), { left: 0, top: 2, right: 1, bottom: 3 })
})

test('a crop grows to whole pixels on all sides', () => {
  const photo = { width: 5, height: 4 }
  const grid = { width: 2, height: 2 }
  assert.equal(cropBox(photo, { left: 0, top: 0, right: 1, bottom: 1 }, grid, 0), { left: 0, top: 0, right: 3, bottom: 2 })
  assert.equal(cropBox(photo, { left: 1, top: 1, right: 2, bottom: 2 }, grid, 0), { left: 2, top: 2, right: 5, bottom: 4 })
})

test('the margin of a crop is a fraction of its longer side, and ends at the edges of the image', () => {
  const box = { left: 1, top: 1, right: 3, bottom: 2 } // 20 x 10 pixels
  const crop = cropBox({ width: 40, height: 20 }, box, { width: 4, height: 2 }, 0.25)
  assert.equal(crop, { left: 5, top: 5, right: 35, bottom: 20 })
  const tall = { left: 1, top: 1, right: 2, bottom: 3 } // 10 x 20 pixels
  const tallCrop = cropBox({ width: 20, height: 40 }, tall, { width: 2, height: 4 }, 0.25)
  assert.equal(tallCrop, { left: 5, top: 5, right: 20, bottom: 35 })
})

test('the largest value of a class in a box ignores the patches outside', () => {
  const grid = { width: 3, height: 2 }
  const smooth = Float64Array.from([0.9, 0, 0.2, 0, 0.3, 0, 0.1, 0, 0.4, 0, 0.5, 1])
  assert.is(largestInBox(smooth, grid, 2, 0, { left: 1, top: 0, right: 3, bottom: 1 }), 0.3)
  assert.is(largestInBox(smooth, grid, 2, 1, { left: 0, top: 0, right: 2, bottom: 2 }), 0)
})

test('averages and boxes of grids of all sizes are those of the definitions', () => {
  const random = randomNumbers()
  for (const [width, height] of [
    [1, 1],
    [1, 6],
    [7, 1],
    [2, 2],
    [5, 7],
  ] as const) {
    const [classes, texts] = [3, 4]
    const grid = { width, height }
    const probabilities = Float64Array.from({ length: width * height * texts }, () => random())
    const places = Array.from({ length: width * height }, (_, i) => [i % width, Math.floor(i / width)] as const)
    const smooth = smoothPatches(probabilities, grid, classes)
    const mean = (x: number, y: number, c: number) => {
      const around = places.flatMap(([u, v], i) =>
        Math.abs(u - x) <= 1 && Math.abs(v - y) <= 1 ? [probabilities[i * texts + c] as number] : [],
      )
      return around.reduce((sum, value) => sum + value) / around.length
    }
    near(
      smooth,
      places.flatMap(([x, y]) => [0, 1, 2].map((c) => mean(x, y, c))),
    )
    const columns = [0, 1, 2].map((c) => places.map((_, i) => smooth[i * classes + c] as number))
    near(
      largestValues(smooth, classes),
      columns.map((column) => Math.max(...column)),
    )
    for (const [c, column] of columns.entries())
      for (const share of [0.5, 0.8, 1]) {
        const inside = new Set([column.indexOf(Math.max(...column))])
        for (let size = 0; size < inside.size; ) {
          size = inside.size
          for (const [i, [x, y]] of places.entries())
            if (
              (column[i] as number) >= share * Math.max(...column) &&
              [...inside].some((j) => Math.abs((j % width) - x) + Math.abs(Math.floor(j / width) - y) === 1)
            )
              inside.add(i)
        }
        const [xs, ys] = [[...inside].map((i) => i % width), [...inside].map((i) => Math.floor(i / width))]
        const box = { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs) + 1, bottom: Math.max(...ys) + 1 }
        assert.equal(classBox(smooth, grid, classes, c, share), box)
        const within = column.filter((_, i) => {
          const [x, y] = places[i] as readonly [number, number]
          return x >= box.left && x < box.right && y >= box.top && y < box.bottom
        })
        assert.is(largestInBox(smooth, grid, classes, c, box), Math.max(...within))
      }
  }
})

test.run()
