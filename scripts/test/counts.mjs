// Counts of passed, failed and skipped tests, and the notes that are printed below the totals.

export const none = { passed: 0, failed: 0, skipped: 0 }

export const add = (a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped })

export const notes = []

/** One failure, with a note. */
export function failure(what) {
  notes.push(`failed: ${what}`)
  return { ...none, failed: 1 }
}

/** Skipped tests, with a note. */
export function skip(count, why) {
  notes.push(`skipped: ${why}`)
  return { ...none, skipped: count }
}

/** A program that is one test. */
export function countProgram(name, { status, ending }) {
  return status === 0 ? { ...none, passed: 1 } : failure(`${name} (${ending})`)
}

/** The mistakes of a test program that its own counts do not show. */
function mistakes(name, { status, ending, output }, { total, passed, skipped }) {
  const reasons = [...output.matchAll(/^[\s•✘]*(.*\bskipped: .+)$/gm)].map(([, reason]) => reason)
  notes.push(...reasons)
  if (Number.isNaN(total)) return [`${name} printed no totals (${ending})`]
  const found = []
  if (!total && !skipped) found.push(`${name} has no tests`)
  if (skipped && !reasons.length) found.push(`${name} skipped ${skipped} tests without a reason: print a line 'skipped: …'`)
  if (/^skipped: /m.test(output) && !skipped) found.push(`${name} printed a reason to skip tests, but counted none as skipped`)
  if (status !== 0 && passed === total) found.push(`${name} passed its tests, but: ${ending}`)
  return found
}

/** The counts of a test program, from its result and the totals that it printed. Each mistake is one more failure. */
export function countTests(name, result, totals) {
  const found = mistakes(name, result, totals).map(failure)
  if (Number.isNaN(totals.total)) return found.reduce(add, none)
  const failed = totals.total - totals.passed
  if (failed) notes.push(`failed: ${failed} in ${name}`)
  return found.reduce(add, { passed: totals.passed, failed, skipped: totals.skipped })
}
