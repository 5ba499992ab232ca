import type { ClassSet, ClassSpec, EncodeClassesOptions, Segmenter } from 'clip-es'
import { complain } from './say.js'
import { asUsage } from './usage.js'

/** Encodes classes, and tells which background words are not used. Throws UsageError for what cannot be encoded. */
export async function encodeClasses(
  segmenter: Segmenter,
  specs: readonly ClassSpec[],
  encoding: EncodeClassesOptions,
): Promise<ClassSet> {
  const classes = await asUsage(() => segmenter.encodeClasses(specs, encoding))
  const dropped = classes.droppedBackground.join(', ')
  if (dropped) complain(`clip-es: these background words are not used, because they are also classes: ${dropped}`)
  return classes
}
