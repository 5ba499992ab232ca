// Chromium for tests of pages.
import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

/** Debian's Chromium, or $CHROMIUM. */
export const chromiumFile = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome'].find(
  (file) => file && existsSync(file),
)

export const startChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: chromiumFile as string, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })
