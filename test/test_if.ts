import { test } from 'uvu'

/**
 * `test` if the condition holds. Otherwise the tests are counted as skipped and the reason is printed; scripts/test.mjs repeats it below
 * its totals. A test that returns early would count as passed instead.
 */
export function testIf(condition: unknown, reason: string): typeof test.skip {
  if (condition) return test
  console.log(`skipped: ${reason}`)
  return test.skip
}
