import type { Region, Ring } from './polygons.js'

/** A horizontal side of a ring, in one column of corners. */
interface Side {
  y: number
  ring: number
  /** Which side of the ring: from corner `side` to the next one. */
  side: number
}

/** Where a hole's bridge ends: at column x of a side. */
interface Bridge extends Side {
  x: number
  hole: number
}

/**
 * One ring for a region with holes, for formats that have no holes. It goes around the region, and over a bridge of no width to each hole,
 * around it and back. A bridge goes straight up from the hole's topmost corner, through the region, to the ring above. Rules that count
 * crossings and rules that count windings fill the ring alike: with the pixels of the region.
 * @param region as `traceRegions()` returns it
 * @returns the outer ring itself where there are no holes; otherwise a ring in which the corners at the ends of bridges are there twice
 */
export function joinHoles({ outer, holes }: Region): Ring {
  if (!holes.length) return outer
  const rings = [outer, ...holes.map(fromTopmost)]
  const bridges = bridgesOf(rings)
  // A list of corners that are linked by `next`. The corners of ring r begin at starts[r]. The first corner is repeated as the last one, so that
  // a hole is a path that a bridge leads to and from.
  const corners: [x: number, y: number][] = []
  const next: number[] = []
  const starts = rings.map((ring) => {
    const start = corners.length
    for (let i = 0; i <= ring.length; i += 2) {
      corners.push([ring[i % ring.length] as number, ring[(i + 1) % ring.length] as number])
      next.push(corners.length)
    }
    return start
  })
  const lastOf = (ring: number): number => (starts[ring] as number) + (rings[ring] as Ring).length / 2
  // Each bridge is put right behind the corner where its side begins, so those near the side's end are put first.
  const goesRight = ({ ring, side }: Bridge): boolean => {
    const start = (starts[ring] as number) + side
    return (corners[start]?.[0] as number) < (corners[start + 1]?.[0] as number)
  }
  const order = (bridge: Bridge): number => (goesRight(bridge) ? -bridge.x : bridge.x)
  bridges.sort((a, b) => order(a) - order(b))
  for (const { ring, side, x, y, hole } of bridges) {
    const start = (starts[ring] as number) + side
    const back = corners.push([x, y]) - 1
    next.push(next[start] as number)
    next[lastOf(hole)] = back
    next[start] = corners.push([x, y]) - 1
    next.push(starts[hole] as number)
  }
  return follow(corners, next, lastOf(0))
}

/** A hole's ring from its topmost corner, the left one of several. */
function fromTopmost(ring: Ring): Ring {
  let top = 0
  for (let i = 2; i < ring.length; i += 2) {
    const [higher, same] = [(ring[i + 1] as number) < (ring[top + 1] as number), ring[i + 1] === ring[top + 1]]
    if (higher || (same && (ring[i] as number) < (ring[top] as number))) top = i
  }
  return [...ring.slice(top), ...ring.slice(0, top)]
}

/**
 * For each hole the nearest side above its first corner. The side's ring reaches further up than the hole, so following bridges ends at
 * the outer ring, which is ring 0.
 */
function bridgesOf(rings: readonly Ring[]): Bridge[] {
  const columns = new Map<number, Side[]>()
  for (const [ring, corners] of rings.entries())
    for (let i = 0; i < corners.length; i += 2) {
      const [x0, y] = [corners[i] as number, corners[i + 1] as number]
      const [x1, y1] = [corners[(i + 2) % corners.length] as number, corners[(i + 3) % corners.length]]
      if (y !== y1) continue
      for (let x = Math.min(x0, x1); x <= Math.max(x0, x1); x++) {
        const sides = columns.get(x) ?? []
        columns.set(x, sides)
        sides.push({ y, ring, side: i / 2 })
      }
    }
  for (const sides of columns.values()) sides.sort((a, b) => a.y - b.y)
  return rings.slice(1).map((corners, i) => {
    const [x, y] = corners as [number, number]
    const { ring, side, y: end } = sideAbove(columns.get(x) as Side[], y, i + 1)
    return { ring, side, x, y: end, hole: i + 1 }
  })
}

/** The lowest side of another ring that is not below y. At y itself it is one whose ring touches this ring at a corner. */
function sideAbove(sides: readonly Side[], y: number, ring: number): Side {
  let [from, to] = [0, sides.length] // the first side below y is among these, or at the end
  while (from < to) {
    const middle = (from + to) >> 1
    if ((sides[middle] as Side).y > y) to = middle
    else from = middle + 1
  }
  while (sides[from - 1]?.ring === ring) from--
  return sides[from - 1] as Side
}

/** The linked corners from the first one up to `end`, which repeats it; without corners that are where the one before is. */
function follow(corners: readonly (readonly [number, number])[], next: readonly number[], end: number): Ring {
  const ring: Ring = []
  for (let at = 0; at !== end; at = next[at] as number) {
    const [x, y] = corners[at] as readonly [number, number]
    if (ring.at(-2) !== x || ring.at(-1) !== y) ring.push(x, y)
  }
  return ring
}
