// The training program against plain PyTorch (tools/train): steps of the optimiser, and the first losses of runs.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { drawSet, makeJob, program, start, temporaryFolder } from './support.js'

const python = process.env.CLIP_ES_TEST_PYTHON ?? 'python3'
const hasTorch = spawnSync(python, ['-c', 'import torch, numpy, PIL']).status === 0
const testWithTorch = testIf(
  hasTorch,
  `the twin of the training program: ${python} has no torch, numpy and pillow; set CLIP_ES_TEST_PYTHON`,
)
const folder = temporaryFolder()
test.after(folder.remove)

/** Runs a script of tools/train, which must end well. */
function runTwin(script: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(python, [join('tools/train', script), ...args], { encoding: 'utf8' })
  assert.is(status, 0, stdout + stderr)
  return stdout
}

testWithTorch('losses, gradients and weights of two steps equal those of PyTorch', () => {
  const cases = join(folder.path, 'cases')
  mkdirSync(cases)
  assert.is(spawnSync(join(dirname(program), 'clip_es_train_test'), ['--twin', cases]).status, 0)
  assert.is(runTwin('twin_steps.py', cases).trim().split('\n').length, 4)
})

for (const [name, settings] of [
  ['hard', { confidence: { mode: 'hard', threshold: 0.95 } }],
  ['soft, balanced and clipped', { confidence: { mode: 'soft', threshold: 0.9 }, balanced: true, clip: 1 }],
] as const)
  testWithTorch(`the first 20 losses of a run (${name}) equal those of PyTorch`, async () => {
    const samples = await drawSet(join(folder.path, `set ${name}`), 7)
    const job = makeJob(join(folder.path, `run ${name}`), samples, { every: { log: 1, checkpoint: 30, validation: 30 } })
    Object.assign(job.training, { iterations: 20, ...settings })
    assert.is((await start(job)).status, 0)
    assert.match(runTwin('twin_run.py', job.run, '20'), /largest difference/)
  })

test.run()
