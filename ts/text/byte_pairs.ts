import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { packageFolder } from '../files/package_folder.js'

const BYTES = 256
/** The lines of the file of merges, without its header. */
const MERGES = 48_894
/** 256 symbols for bytes, 256 for bytes that end a word, and one for each merge. Their ids are in this order. */
export const SYMBOLS = 2 * BYTES + MERGES

const END_OF_WORD = '</w>'
const NO_MERGE = Number.POSITIVE_INFINITY

/** A symbol of a word. `rank` is the number of its merge with the next symbol, or NO_MERGE. */
type Part = { symbol: string; id: number; rank: number }

/** Each byte as the merges write it: printable Latin-1 as it is, the other bytes as U+0100 and up. */
const BYTE_PARTS: readonly Part[] = (() => {
  const isPrintable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  const bytes = Array.from({ length: BYTES }, (_, byte) => byte)
  const others = bytes.filter((byte) => !isPrintable(byte))
  const inOrder = [...bytes.filter(isPrintable), ...others]
  return bytes.map((byte) => ({
    symbol: String.fromCharCode(isPrintable(byte) ? byte : BYTES + others.indexOf(byte)),
    id: inOrder.indexOf(byte),
    rank: NO_MERGE,
  }))
})()

/** The number of each merge, which is a line of the file such as `c at</w>`. */
function readMerges(): ReadonlyMap<string, number> {
  const lines = gunzipSync(readFileSync(join(packageFolder(), 'data', 'clip_merges.txt.gz')))
    .toString('utf8')
    .split('\n', MERGES + 1)
  return new Map(lines.slice(1).map((line, i) => [line, i])) // the first line is a header
}

let merges: ReadonlyMap<string, number> | undefined

function mergeRank(left: Part, right: Part): number {
  merges ??= readMerges()
  return merges.get(`${left.symbol} ${right.symbol}`) ?? NO_MERGE
}

function byteParts(word: string): Part[] {
  const parts = Array.from(Buffer.from(word, 'utf8'), (byte) => ({ ...(BYTE_PARTS[byte] as Part) }))
  const last = parts.at(-1)
  if (last !== undefined) {
    last.symbol += END_OF_WORD
    last.id += BYTES
  }
  return parts
}

/** Sets the rank of each part whose pair has changed, and returns the least of all ranks. */
function rankPairs(parts: readonly Part[], hasChanged: (part: Part) => boolean): number {
  let least = NO_MERGE
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Part
    const next = parts[i + 1]
    if (next === undefined) part.rank = NO_MERGE
    else if (hasChanged(part) || hasChanged(next)) part.rank = mergeRank(part, next)
    least = Math.min(least, part.rank)
  }
  return least
}

/** Merges all pairs of one rank in place, from left to right, and returns the least rank that is left. */
function mergePairs(parts: Part[], rank: number): number {
  const merged = 2 * BYTES + rank
  let count = 0
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Part
    if (part.rank === rank) {
      part.symbol += (parts[++i] as Part).symbol
      part.id = merged
    }
    parts[count++] = part
  }
  parts.length = count
  return rankPairs(parts, (part) => part.id === merged)
}

/**
 * The ids of the symbols that are left of a word when no neighbours merge any more. Of all pairs in the word, the one that
 * stands first in the file merges first, wherever it is. The first call reads the file (less than 0.1 s).
 * Source: Sennrich, Haddow and Birch (2016), "Neural machine translation of rare words with subword units".
 */
export function encodeBytePairs(word: string): number[] {
  const parts = byteParts(word)
  let rank = rankPairs(parts, () => true)
  while (rank !== NO_MERGE) rank = mergePairs(parts, rank)
  return parts.map((part) => part.id)
}
