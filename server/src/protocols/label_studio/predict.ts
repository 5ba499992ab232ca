import { inOrder, type LabelStudioPrediction, type LabelStudioRegion, labelStudioPrediction } from 'clip-es/support'
import { problemOf } from '../../errors.js'
import type { FetchOptions } from '../../remote/photos.js'
import type { ServiceResult } from '../../service/service.js'
import { maskOf } from '../mask.js'
import type { ProtocolOptions } from '../options.js'
import { questionOf } from '../question.js'
import type { Control } from './label_config.js'
import { photoOf, type Task } from './photo.js'

/** What a task is answered. One whose photo cannot be used has no regions, and says why. */
export type TaskPrediction = LabelStudioPrediction & { error?: string }

/** Segments the photo of a task for each control tag. Tags that ask the same share a result. */
async function predictTask(
  task: Task,
  controls: readonly Control[],
  options: ProtocolOptions,
  fetching: FetchOptions,
): Promise<LabelStudioRegion[]> {
  const photos = new Map<string, Promise<Buffer>>()
  const results = new Map<string, ServiceResult>()
  const regions: LabelStudioRegion[] = []
  for (const control of controls) {
    const { photoKey, classes, texts, tool } = control
    const question = questionOf(options.service, `<… name="${tool.fromName}">`, classes, texts, { labels: 'auto' })
    const photo = photos.get(photoKey) ?? photoOf(task, photoKey, options, fetching)
    photos.set(photoKey, photo)
    const key = JSON.stringify([photoKey, classes, texts])
    const known = results.get(key)
    const result = known ?? (await options.service.segment({ ...question, photo: await photo, signal: fetching.signal }))
    results.set(key, result)
    regions.push(...(await options.service.threads.run('regions', { ...maskOf(result), tool }, fetching.signal)))
  }
  return regions
}

/**
 * Predictions for tasks, in their order. If some photos cannot be used, their tasks have an error and no regions.
 * @throws what went wrong if it concerns the server, or every task
 */
export async function predictTasks(
  tasks: readonly Task[],
  controls: readonly Control[],
  modelVersion: string,
  options: ProtocolOptions,
  fetching: FetchOptions,
): Promise<TaskPrediction[]> {
  const { service } = options
  const failures: unknown[] = []
  const predict = async (task: Task): Promise<TaskPrediction> => {
    try {
      return labelStudioPrediction(await predictTask(task, controls, options, fetching), modelVersion)
    } catch (error) {
      const { status, detail } = problemOf(error, '')
      if (status >= 499 || fetching.signal.aborted) throw error // of the server or the client, not of the photo
      failures.push(error)
      return { ...labelStudioPrediction([], modelVersion), score: 0, error: detail }
    }
  }
  const predictions: TaskPrediction[] = []
  const window = service.model.photosAtATime + 1 // of one request; others want their turn, too
  for await (const prediction of inOrder(tasks, window, fetching.signal, predict)) predictions.push(prediction)
  if (tasks.length && failures.length === tasks.length) throw failures[0]
  return predictions
}
