// The stages of a run over many photos, with stages that the test makes.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Outcome,
  othersInWork,
  runPipeline,
  runStages,
  type Stages,
  TransferError,
} from '../../cli/src/pipeline/pipeline.js'
import { Progress } from '../../cli/src/pipeline/progress.js'
import { Stopped } from '../../cli/src/shared/stop.js'
import { reasonOf } from './support.js'

type Step = keyof Stages<string, string, string, string>
const files = new Map([['mask', new Uint8Array(1)]])

/** Stages that write down their arguments; one of them can fail. */
function stages(failing?: Step, failure?: unknown, during?: (step: Step) => void) {
  const calls: unknown[][] = []
  const step =
    <T>(name: Step, value: T) =>
    (...args: unknown[]): T => {
      calls.push([name, ...args])
      during?.(name)
      if (name === failing) throw failure
      return value
    }
  const made: Stages<string, string, string, string> = {
    prepare: step('prepare', 'state'),
    segment: step('segment', Promise.resolve('made')),
    encode: step('encode', Promise.resolve(files)),
    save: step('save', 'summary'),
    fail: step('fail', undefined),
  }
  return { calls, made }
}
const none = new AbortController().signal
const steps: readonly Step[] = ['prepare', 'segment', 'encode', 'save']

test('a photo goes through the stages in their order, each with what the ones before have made', async () => {
  const { calls, made } = stages()
  assert.equal(await runStages('a', made, none), { item: 'a', summary: 'summary' })
  assert.equal(calls, [
    ['prepare', 'a'],
    ['segment', 'a', 'state'],
    ['encode', 'made', 'a'],
    ['save', files, 'made', 'a', 'state'],
  ])
  assert.is(othersInWork, 3)
})

test('a photo that fails in any stage is remembered, with its error', async () => {
  for (const step of steps) {
    const failure = Object.assign(new Error(`${step} failed`), { code: 'ENOENT' })
    const { calls, made } = stages(step, failure)
    assert.equal(await runStages('a', made, none), { item: 'a', error: failure })
    assert.equal(
      calls.map(([name]) => name),
      [...steps.slice(0, steps.indexOf(step) + 1), 'fail'],
    )
    assert.equal(calls.at(-1), ['fail', 'a', `${step} failed`])
  }
  const { made } = stages('segment', 'text')
  const { error } = (await runStages('a', { ...made, fail: undefined }, none)) as { error: Error }
  assert.instance(error, Error)
  assert.is(error.message, 'text')
})

test('a full disk, another machine that is gone, and an abort are not failures of a photo', async () => {
  const fatal = ['ENOSPC', 'EDQUOT', 'EROFS'].map((code) => Object.assign(new Error(code), { code }))
  for (const failure of [...fatal, new TransferError('gone')]) {
    const { calls, made } = stages('save', failure)
    assert.is(await reasonOf(runStages('a', made, none)), failure)
    assert.is(calls.at(-1)?.[0], 'save')
  }
  const early = stages()
  assert.is(await reasonOf(runStages('a', early.made, AbortSignal.abort('early'))), 'early')
  assert.equal(early.calls, [])
  const controller = new AbortController()
  const late = stages(undefined, undefined, (step) => step === 'encode' && controller.abort('late'))
  assert.is(await reasonOf(runStages('a', late.made, controller.signal)), 'late')
  assert.equal(late.calls.at(-1)?.[0], 'encode', 'nothing is saved after an abort')
  const failing = new AbortController()
  const both = stages('segment', new Error('because of the abort'), (step) => step === 'segment' && failing.abort('stop'))
  assert.instance(await reasonOf(runStages('a', both.made, failing.signal)), Error)
  assert.is(both.calls.at(-1)?.[0], 'segment')
})

/** Runs items of which some fail, and returns what was reported. */
async function run(items: string[], made: Stages<string, string, string, string>, signal = none) {
  const progress = new Progress(items.length, 'silent')
  const reported: Outcome<string, string>[] = []
  const describe = (outcome: Outcome<string, string>) => {
    reported.push(outcome)
    return { text: () => '', json: () => ({}) }
  }
  const ended = await runPipeline(items, made, { window: 2, signal, progress, describe, out: '/out' }).catch(
    (error: unknown) => error,
  )
  return { ended, reported, state: [progress.succeeded, progress.failures] }
}

test('outcomes are reported in the order of the photos, and failures are counted apart', async () => {
  const { made } = stages()
  const failure = new Error('no')
  const segment = async (item: string) => {
    await new Promise((done) => setTimeout(done, item === 'a' ? 20 : 1))
    if (item === 'b') throw failure
    return 'made'
  }
  const { ended, reported, state } = await run(['a', 'b', 'c'], { ...made, segment })
  assert.is(ended, undefined)
  assert.equal(reported, [
    { item: 'a', summary: 'summary' },
    { item: 'b', error: failure },
    { item: 'c', summary: 'summary' },
  ])
  assert.equal(state, [2, 1])
})

test('a run that is stopped tells how many photos are done, those too that are not reported yet', async () => {
  const { made } = stages()
  const controller = new AbortController()
  const segment = async (item: string) => {
    if (item === 'a') await new Promise((done) => setTimeout(done, 20))
    if (item === 'a') controller.abort(new Stopped('interrupted', 130))
    return 'made'
  }
  const { ended, reported } = await run(['a', 'b'], { ...made, segment }, controller.signal)
  assert.instance(ended, Stopped)
  assert.equal(
    [(ended as Stopped).message, (ended as Stopped).status],
    ['interrupted; 1 of 2 photos done; results are in /out', 130],
  )
  assert.equal(reported, [])
})

test.run()
