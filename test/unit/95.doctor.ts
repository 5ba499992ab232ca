import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeCheck } from '../../cli/src/doctor/machine.js'
import { root } from './support.js'

const engines = (file: string): string => JSON.parse(readFileSync(join(root, file), 'utf8')).engines.node

test('the Node.js that runs this is supported', () => {
  const { status, detail } = nodeCheck()
  assert.equal([status, detail], ['ok', `${process.versions.node} at ${process.execPath}`])
})

test('the first and later versions of each supported line are ok, and earlier ones and other lines are wrong', () => {
  const range = '^20.19.0 || ^22.12.0 || >=24.0.0'
  for (const version of ['20.19.0', '20.19.1', '20.20.2', '22.12.0', '22.100.0', '24.0.0', '24.9.1', '25.0.0', '100.0.0'])
    assert.is(nodeCheck(version, range).status, 'ok', version)
  for (const version of ['0.12.18', '18.20.8', '20.9.0', '20.18.3', '21.7.3', '22.0.0', '22.11.0', '22.2.99', '23.11.1'])
    assert.is(nodeCheck(version, range).status, 'wrong', version)
})

test('an unsupported version is named with the range and the remedy', () => {
  const { detail, remedy, values } = nodeCheck('21.7.3', '^20.19.0 || ^22.12.0 || >=24.0.0')
  assert.is(detail, '21.7.3 is not supported: clip-es needs ^20.19.0 || ^22.12.0 || >=24.0.0')
  assert.is(remedy, 'install Node.js 20.19.0, 22.12.0, or 24.0.0, or a later version with the same first number')
  assert.is(values?.node, '21.7.3')
})

test('the range is the one of package.json, which the packages share', () => {
  assert.match(nodeCheck('0.1.0').detail, `clip-es needs ${engines('package.json')}`)
  assert.is(engines('cli/package.json'), engines('package.json'))
})

test('a range with another operator is an error, not a pass', () => {
  assert.throws(() => nodeCheck('20.19.0', '20.x'), "'20.x' in the range '20.x' is not ^1.2.3 or >=1.2.3")
})

test.run()
