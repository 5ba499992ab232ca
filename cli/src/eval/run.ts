import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { forEachInOrder, packageVersion } from 'clip-es/support'
import { camExtensions } from '../formats/read_cams.js'
import { type CamRule, CamSearch, type RuleScore } from '../metrics/cam_rule.js'
import { meanOfNumbers } from '../metrics/confusion.js'
import { failureEvent, Progress } from '../pipeline/progress.js'
import { type Manifest, readManifest } from '../results/manifest.js'
import { resultFolder } from '../results/store.js'
import { classFileNamed } from '../shared/class_sets.js'
import { writeOutput } from '../shared/out_folder.js'
import { complain, say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { messageOf } from '../shared/wording.js'
import { vocRoot, vocSplit } from '../sources/voc.js'
import { type Evaluation, Evaluator } from './evaluation.js'
import { listIds, readCamsOf, readResult, readResultList } from './files.js'
import { evalTable, searchTable, takenTable } from './table.js'
import { fittingTruth, openTruth, type Truth } from './truth.js'

export interface EvalOptions {
  truth?: string
  list?: string
  classFile?: string
  cams: boolean
  search: boolean
  threshold?: number
  backgroundPower?: number
  thresholds: number[]
  powers: number[]
  boundary: number
  out?: string
  json: boolean
}

const window = 4 // files in work at the same time

/** What to compare with what. */
interface Plan {
  /** Folder of the masks or CAMs. */
  results: string
  truth: { path: string; of: Truth }
  ids: string[]
  /** Where the ids are from. */
  list: string
  /** Background and the classes. */
  names: string[]
  /** Where the figures go. */
  out: string
}

function planOf(results: string, options: EvalOptions, what: 'mask' | 'cams'): Plan {
  if (!statSync(results, { throwIfNoEntry: false })?.isDirectory())
    throw new UsageError(`eval: there is no folder ${results}; name what clip-es dataset made, or a folder of masks`)
  const manifest = readManifest(results)
  const inside = resultFolder(results, what)
  const folder = existsSync(inside) ? inside : results
  const truth = options.truth ?? ownTruth(manifest)
  if (truth === undefined) throw new UsageError('eval: name the ground truth with --truth')
  if (!existsSync(truth)) throw new UsageError(`eval: there is no ground truth ${truth}`)
  const { ids, list } = idsOf(folder, manifest, options, what)
  if (!ids.length)
    throw new UsageError(`eval: there are no ${what === 'mask' ? 'masks (.png)' : 'CAMs (.npz, .npy)'} in ${folder}`)
  const names = namesOf(manifest, options)
  const out = options.out ?? join(results, what === 'mask' ? 'eval.json' : 'eval-cams.json')
  return { results: folder, truth: { path: truth, of: openTruth(truth, names) }, ids, list, names, out }
}

/** The ground truth that VOC and COCO bring along. */
function ownTruth(manifest: Manifest | undefined): string | undefined {
  const { kind, voc, annotations } = manifest?.source ?? {}
  if (kind === 'coco') return annotations
  return kind === 'voc' && voc !== undefined ? join(vocRoot(voc), 'SegmentationClass') : undefined
}

/** The list given, else the split that was segmented, so that what is missing is noticed; else every result. */
function idsOf(
  folder: string,
  manifest: Manifest | undefined,
  { list }: EvalOptions,
  what: 'mask' | 'cams',
): { ids: string[]; list: string } {
  const results = () => listIds(folder, what === 'mask' ? ['.png'] : camExtensions)
  if (list !== undefined) return { ids: readResultList(list, results()), list: resolve(list) }
  const { kind, voc, split } = manifest?.source ?? {}
  if (kind === 'voc' && voc !== undefined && split !== undefined)
    return { ids: vocSplit(vocRoot(voc), split), list: `the split ${split} of ${voc}` }
  return { ids: results(), list: 'every result' }
}

function namesOf(manifest: Manifest | undefined, { classFile }: EvalOptions): string[] {
  const file = classFile === undefined ? manifest?.settings : classFileNamed(classFile)
  if (file === undefined) throw new UsageError('eval: name the classes with --class-file, such as --class-file voc')
  return ['background', ...file.classes.map(({ name }) => name)]
}

/** Runs `clip-es eval`. False when any picture could not be compared, after the rest was. */
export async function evaluate(results: string, options: EvalOptions): Promise<boolean> {
  const isCams = options.cams || options.search || options.threshold !== undefined || options.backgroundPower !== undefined
  const plan = await asUsage(() => planOf(results, options, isCams ? 'cams' : 'mask'))
  const signal = stopSignal()
  const progress = new Progress(plan.ids.length * (options.search ? 2 : 1), 'none')
  const failures: Evaluation['failures'] = []
  const attempt = async (id: string, work: () => Promise<void>) => {
    try {
      await work()
      progress.done()
    } catch (error) {
      if (failures.some((failure) => failure.id === id)) return // in the first pass of two
      failures.push({ id, message: messageOf(error) })
      progress.failed(failureEvent(id, messageOf(error), {}))
    }
  }
  const evaluator = new Evaluator(plan.names, options.boundary)
  let search: RuleScore[] | undefined
  try {
    if (options.search) search = await searchRules(plan, options, signal, attempt)
    const rule = isCams ? (search?.[0]?.rule ?? ruleOf(options)) : undefined
    await forEachInOrder(plan.ids, window, signal, (id) => attempt(id, () => addOne(plan, id, rule, evaluator)))
    progress.stop()
    if (!evaluator.images) throw new UsageError('eval: nothing could be compared: the reasons are listed above')
    const evaluation: Evaluation = {
      format: 1,
      version: packageVersion(),
      results: resolve(plan.results),
      truth: resolve(plan.truth.path),
      list: plan.list,
      what: isCams ? 'cams' : 'masks',
      ...(rule && { rule }),
      ...evaluator.figures(),
      failures,
      ...(search && { search }),
    }
    if (options.json) say(JSON.stringify(evaluation))
    else show(evaluation, plan)
    for (const warning of evaluation.warnings) complain(`clip-es: warning: ${warning}`)
    writeOutput('eval', '--out', plan.out, `${JSON.stringify(evaluation)}\n`)
    if (!options.json) say(`Figures: ${resolve(plan.out)}`)
  } finally {
    progress.stop()
  }
  return failures.length === 0
}

const ruleOf = ({ threshold, backgroundPower = 1 }: EvalOptions): CamRule =>
  threshold === undefined ? { power: backgroundPower } : { threshold }

async function addOne({ results, truth }: Plan, id: string, rule: CamRule | undefined, evaluator: Evaluator): Promise<void> {
  const result = await readResult(results, id, rule)
  evaluator.add(id, result.data, await fittingTruth(truth.of, id, result), result.width, result.height)
}

/** All rules, best first. */
async function searchRules(
  { results, truth, ids, names }: Plan,
  { thresholds, powers }: EvalOptions,
  signal: AbortSignal,
  attempt: (id: string, work: () => Promise<void>) => Promise<void>,
): Promise<RuleScore[]> {
  const rules: CamRule[] = [...thresholds.map((threshold) => ({ threshold })), ...powers.map((power) => ({ power }))]
  const search = new CamSearch(names.length, rules)
  await forEachInOrder(ids, window, signal, (id) =>
    attempt(id, async () => {
      const { file, cams } = await readCamsOf(results, id)
      search.add(cams, await fittingTruth(truth.of, id, { file, ...cams }))
    }),
  )
  const scores = rules.map((rule) => {
    const confusion = search.confusion(rule)
    return { rule, miou: meanOfNumbers(confusion.classes().map(({ iou }) => iou)), pixelAccuracy: confusion.pixelAccuracy }
  })
  return scores.sort((a, b) => b.miou - a.miou)
}

function show(evaluation: Evaluation, { ids }: Plan): void {
  if (evaluation.search) say(`${searchTable(evaluation.search)}\n`)
  say(evalTable(evaluation))
  const taken = takenTable(evaluation)
  if (taken) say(`Words that take pixels from others:\n${taken}`)
  const missing = ids.length - evaluation.images
  if (missing) say(`${missing} of ${ids.length} could not be compared: listed above`)
}
