import type { ClassSet, Segmenter } from 'clip-es'
import { forEachInOrder } from 'clip-es/support'
import { readPhotoOf } from '../photos/read.js'
import { othersInWork } from '../pipeline/pipeline.js'
import { messageOf } from '../shared/wording.js'
import type { LabelledItem } from '../sources/dataset.js'
import type { EncodeListener } from './encode_photos.js'
import type { JudgedPhoto } from './thresholds.js'

/**
 * How present each class is in each photo, as `labels: 'auto'` finds it. A photo that fails is reported and left out.
 * @throws the signal's reason
 */
export async function measurePresence(
  items: readonly LabelledItem[],
  segmenter: Segmenter,
  classes: ClassSet,
  signal: AbortSignal,
  listener: EncodeListener,
): Promise<JudgedPhoto[]> {
  const judged = new Map<LabelledItem, JudgedPhoto>()
  await forEachInOrder(items, segmenter.model.photosAtATime + othersInWork, signal, async (item) => {
    try {
      judged.set(item, { presence: await presenceIn(item), labels: item.labels })
      listener.done(item)
    } catch (error) {
      if (!signal.aborted) listener.failed(item, messageOf(error))
    }
  })
  return items.flatMap((item) => judged.get(item) ?? [])

  async function presenceIn({ photo }: LabelledItem): Promise<Float64Array> {
    const image = await readPhotoOf(photo, { orientation: 'ignored', signal })
    // The lowest threshold above 0 finds all classes that have any presence. Their masks are not needed: CAA is left out.
    const options = { labels: 'auto', labelThreshold: Number.MIN_VALUE, refine: false, signal } as const
    const { labels, presence } = await segmenter.segment(image, classes, options)
    const values = new Float64Array(classes.names.length)
    for (const [i, name] of labels.entries()) values[classes.names.indexOf(name)] = presence?.[i] as number
    return values
  }
}
