import { existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { packageVersion } from 'clip-es/support'
import { datasetStages, type Exchange, folderExchange } from '../dataset/photo.js'
import { jobOf } from '../dataset/plan.js'
import { othersInWork, runStages } from '../pipeline/pipeline.js'
import type { Engine } from '../queue/consume.js'
import { servedPhoto } from '../queue/http_client.js'
import type { JobPhoto, PhotoOutcome } from '../queue/jobs.js'
import type { RunInfo, SharedFolder } from '../queue/runs.js'
import { readFolderId } from '../results/folder_id.js'
import { Journal } from '../results/journal.js'
import { workerPart } from '../results/leftovers.js'
import { readManifest, settingsHash } from '../results/manifest.js'
import { ResultStore } from '../results/store.js'
import type { DatasetItem } from '../sources/dataset.js'
import type { Models } from './models.js'

/** Does the photos of a run as `clip-es dataset` does them in its own process. */
export interface RunEngine extends Engine {
  close(): void
}

/** Why this worker cannot do a run, or undefined. Looks at neither photos nor model. */
export function refusal(run: RunInfo, root: string): string | undefined {
  const own = packageVersion()
  if (run.version !== own)
    return `it was begun by clip-es ${run.version}, and this is ${own}; install the same version on every machine`
  return run.exchange.kind === 'folder' ? folderRefusal(run, run.exchange, root) : undefined
}

function folderRefusal({ folderId, settings }: RunInfo, exchange: SharedFolder, root: string): string | undefined {
  const out = join(root, exchange.out)
  if (readFolderId(out) !== folderId)
    return `its folder of results is not ${out} here${existsSync(out) ? ', but another one' : ''}; name with --root the folder that is ${exchange.root} on the producer's machine`
  const manifest = readManifest(out)
  if (manifest === undefined || settingsHash(manifest.settings) !== settingsHash(settings))
    return `${out} holds results of other settings by now; start the producer again`
  return undefined
}

/**
 * @param worker the worker's id: it names its part of the journal
 * @throws an Error that says why this worker cannot do the run
 */
export async function engineOf(
  run: RunInfo,
  models: Models,
  root: string,
  worker: string,
  signal: AbortSignal,
): Promise<RunEngine> {
  const segmenter = await models.load(run, signal)
  const job = await jobOf(segmenter, run.settings, run.outputs, new AbortController().signal)
  const folder = run.exchange.kind === 'folder' ? openFolder(run, run.exchange, root, worker) : undefined
  return {
    window: segmenter.model.photosAtATime + othersInWork,
    check() {
      const reason = refusal(run, root)
      if (reason !== undefined) throw new Error(reason)
    },
    photo: (photo, id) => {
      const exchange = folder?.exchange ?? (run.exchange.kind === 'http' ? servedPhoto(run.exchange, id, photo[0]) : undefined)
      return doPhoto(photo, run, datasetStages(job, exchange as Exchange))
    },
    close: () => folder?.close(),
  }
}

async function doPhoto(photo: JobPhoto, run: RunInfo, stages: ReturnType<typeof datasetStages>): Promise<PhotoOutcome> {
  const [, id, path, labels] = photo
  const item: DatasetItem = {
    id,
    photo: run.exchange.kind === 'folder' ? join(run.exchange.root, path) : path,
    ...(labels ? { labels } : {}),
  }
  const outcome = await runStages(item, stages, new AbortController().signal)
  if ('error' in outcome) return { failed: outcome.error.message }
  return { labels: outcome.summary.item.labels, ignored: outcome.summary.ignored }
}

/** The folder of results with a part of the journal for this process alone. */
function openFolder({ outputs }: RunInfo, { root: producerRoot, out }: SharedFolder, root: string, worker: string) {
  const folder = join(root, out)
  const part = workerPart(worker)
  const journal = new Journal(folder, part)
  const store = new ResultStore(folder, part)
  // The journal has the producer's paths, so that it is the same as one of a run without a queue.
  const locate = (photo: string) => join(root, photo.slice(producerRoot.length))
  return {
    exchange: folderExchange({ store, journal }, outputs, locate),
    close() {
      store.close()
      journal.close()
    },
  }
}

/** Names this process among all workers: a part of the journal has one writer. */
export const workerId = (): string =>
  `${hostname()
    .replace(/[^\w-]/g, '-')
    .slice(0, 40)}-${process.pid}-${Date.now().toString(36)}`
