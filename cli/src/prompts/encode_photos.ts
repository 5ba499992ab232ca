import { resolve } from 'node:path'
import type { Segmenter } from 'clip-es'
import { forEachInOrder } from 'clip-es/support'
import { readPhotoOf } from '../photos/read.js'
import { photoState } from '../results/journal.js'
import { messageOf } from '../shared/wording.js'
import type { DatasetItem } from '../sources/dataset.js'
import type { FeatureCache, PhotoEmbedding } from './feature_cache.js'

/** Photos in addition to those that the engine computes: one waits for it and one is read, so it never waits for a file. */
const others = 2

/** Is called for each photo when it has been encoded or has failed. */
export interface EncodeListener {
  done(item: DatasetItem): void
  failed(item: DatasetItem, message: string): void
}

/**
 * The photos' embeddings: the cache's, and those of the others, which go there. A photo that fails is reported and left out.
 * @throws the signal's reason, and what the file system does to the cache
 */
export async function encodePhotos<T extends DatasetItem>(
  items: readonly T[],
  segmenter: Segmenter,
  cache: FeatureCache,
  signal: AbortSignal,
  start: (reused: number, left: number) => EncodeListener,
): Promise<Map<T, PhotoEmbedding>> {
  const embeddings = new Map<T, PhotoEmbedding>()
  for (const item of items) {
    const known = cache.get(resolve(item.photo))
    if (known) embeddings.set(item, known)
  }
  const left = items.filter((item) => !embeddings.has(item))
  const listener = start(embeddings.size, left.length)
  await forEachInOrder(left, segmenter.model.photosAtATime + others, signal, async (item) => {
    const state = photoState(item.photo) // before it is read: a photo replaced meanwhile is encoded again
    const embedding = await embed(item).catch((error: unknown) => {
      if (!signal.aborted) listener.failed(item, messageOf(error))
    })
    if (!embedding) return
    cache.add(resolve(item.photo), state, embedding)
    embeddings.set(item, embedding)
    listener.done(item)
  })
  // In the items' order, whichever were known or ended first: sums are the same to the last bit.
  return new Map(items.flatMap((item) => (embeddings.has(item) ? [[item, embeddings.get(item) as PhotoEmbedding]] : [])))

  async function embed({ photo }: DatasetItem): Promise<PhotoEmbedding> {
    const encoded = await segmenter.encode(await readPhotoOf(photo, { orientation: 'ignored', signal }), { signal })
    try {
      return await encoded.embeddings({ signal })
    } finally {
      encoded.dispose()
    }
  }
}
