import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The version of this command's package. */
export const commandVersion = (): string =>
  (JSON.parse(readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')) as { version: string }).version
