// The table of the CUDA kernels' registers in docs/kernels.md, and the script that writes it.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'

let folder: string
test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'clip-es-kernel-resources-'))
  writeFileSync(
    join(folder, 'local.cu'),
    `__global__ void __launch_bounds__(64) local_kernel(float* values) {
  float own[64] = {};
  for (int i = 0; i < 640; ++i) own[static_cast<int>(values[i]) & 63] += values[i];
  for (int i = 0; i < 64; ++i) values[i] = own[i];
}
`,
  )
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

function check(args: string[], env = process.env) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/kernel_resources.mjs', '--check', ...args], {
    encoding: 'utf8',
    env,
  })
  return { status, output: stdout + stderr }
}

test('without nvcc: the table has exactly the kernels of the source, and a kernel that it lacks is named', () => {
  const env = { ...process.env, PATH: '' }
  const real = check([], env)
  assert.is(real.output, 'nvcc is not on PATH: only the names of the kernels were compared\n')
  assert.is(real.status, 0)
  const planted = check([folder], env)
  assert.is(planted.status, 1)
  assert.match(planted.output, 'lacks the kernel local: run node scripts/kernel_resources.mjs')
  assert.match(planted.output, 'has layer_norm, which is not a kernel')
})

const hasCompiler = spawnSync('nvcc', ['--version']).status === 0
testIf(hasCompiler, 'nvcc is not on PATH')('with nvcc: a kernel that uses local memory is a failure', () => {
  const { status, output } = check([folder])
  assert.is(status, 1)
  for (const architecture of ['sm_80', 'sm_90'])
    assert.match(output, new RegExp(`local spills registers or uses local memory on ${architecture}: [1-9]\\d* bytes`))
})

test.run()
