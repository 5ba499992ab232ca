/** Why an object was not found, told from its pixels. */
export interface Failure {
  /** A sentence. */
  reason: string
  /** What may help, a sentence. */
  remedy: string
}

const percent = (share: number): string => `${Math.round(100 * share)} %`

/**
 * Explains a bad mask by its largest error: pixels that another label took, pixels left as background, or pixels outside the object.
 * @param mask 0 background, else the class's number, like truth
 * @param nameOf the name of a class, by its number in the masks
 */
export function explainFailure(mask: Uint8Array, truth: Uint8Array, value: number, nameOf: (value: number) => string): Failure {
  const name = nameOf(value)
  const foundAs = new Uint32Array(256) // the object's pixels, by what the mask calls them
  let size = 0
  let outside = 0
  for (const [i, there] of truth.entries()) {
    const found = mask[i] as number
    if (there === value) {
      size++
      foundAs[found] = (foundAs[found] as number) + 1
    } else if (found === value) outside++
  }
  const missed = foundAs[0] as number
  const [rival, taken] = largestOther(foundAs, value)
  if (taken >= missed && taken >= outside)
    return {
      reason: `Confused with a neighbour: ${percent(taken / size)} of the ${name} was labelled as ${nameOf(rival)}, whose map is stronger there.`,
      remedy: 'Try other words or synonyms for both things. The CRF moves borders, so it cannot correct a confusion.',
    }
  if (missed >= outside)
    return {
      reason: `Only a part was found: ${percent(missed / size)} of the ${name} was left as background, because its map is strong only on the most typical part.`,
      remedy: 'Try other words or synonyms, or a weaker background (--background-power 2 or 3).',
    }
  return {
    reason: `Coarse patches: the ${name} is small, and the mask contains pixels around it that make up ${percent(outside / size)} of its size.`,
    remedy: 'Try --crf, which moves borders onto the edges of the photo, or a larger photo.',
  }
}

function largestOther(foundAs: Uint32Array, value: number): [value: number, pixels: number] {
  let rival = 0
  let most = 0
  for (const [other, pixels] of foundAs.entries())
    if (other !== 0 && other !== value && pixels > most) {
      rival = other
      most = pixels
    }
  return [rival, most]
}
