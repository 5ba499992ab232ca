// What the tests of the page share: the page of a real server in Chromium. Its console must stay empty.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import type { SegmentAnswer } from '../../server/src/answers/json.js'
import { chromiumFile, startChromium } from '../browser.js'
import { testIf } from '../test_if.js'
import { bytesOf, post, root } from './support.js'

export const browserTest = testIf(
  chromiumFile,
  'the page in a browser: no chromium is installed; set CHROMIUM to the file of one',
)

export const sceneRoot = `${root}/models/scenes`

/** Chromium for a test file; undefined without one, when all tests of the file are skipped. */
export const launch = async (): Promise<Browser | undefined> => (chromiumFile ? await startChromium() : undefined)

/** The page in a window of its own. `problems` collects errors and refusals that its console shows. */
export async function openPage(browser: Browser | undefined, url: string, options: BrowserContextOptions = {}) {
  const context = await (browser as Browser).newContext({ viewport: { width: 1100, height: 700 }, ...options })
  context.setDefaultTimeout(60_000) // of a slow machine
  const page = await context.newPage()
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()))
  await page.goto(url)
  await page.locator('#model').filter({ hasText: '.pt' }).waitFor()
  await page.locator('#scene-list button').first().waitFor()
  const close = async () => {
    await context.close()
    assert.equal(problems, [])
  }
  return { page, problems, close }
}

/** What a request asked, and its answer. */
export interface Exchange {
  question: Record<string, unknown>
  answer: SegmentAnswer
  /** The id of the stored photo. */
  image: string
}

/** Does something that makes the page ask the server, and waits until the answer is drawn. */
export async function change(page: Page, action: () => Promise<unknown>): Promise<Exchange> {
  const answered = page.waitForResponse((response) => response.url().endsWith('/segment') && response.ok())
  const [response] = await Promise.all([answered, action()])
  await page.locator('#work[data-state=ready]').waitFor()
  await drawn(page)
  const image = response.url().split('/').at(-2) as string
  return { question: response.request().postDataJSON(), answer: (await response.json()) as SegmentAnswer, image }
}

/** Waits for two frames, after which everything that has changed is drawn. */
export const drawn = (page: Page): Promise<unknown> =>
  page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))')

/** Opens a demo scene, 1 to 12. Its words are in the page then. */
export const openScene = (page: Page, number: number): Promise<Exchange> =>
  change(page, () => page.locator(`#scene-list li:nth-child(${number}) button`).click())

/** What the page draws over each pixel of the photo: its colour as #rrggbb, or '' for nothing. */
export async function overlayColours(page: Page, width: number, height: number): Promise<string[]> {
  const text: string = await page.evaluate(`(() => {
    const canvas = document.querySelector('#overlay')
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    const found = new Uint8Array(${4 * width * height})
    let next = 0
    for (let y = 0; y < ${height}; y++)
      for (let x = 0; x < ${width}; x++) {
        const [column, row] = [Math.floor((x + 0.5) / ${width} * canvas.width), Math.floor((y + 0.5) / ${height} * canvas.height)]
        const at = 4 * (row * canvas.width + column)
        found.set(data.subarray(at, at + 4), next)
        next += 4
      }
    let text = ''
    for (let i = 0; i < found.length; i += 4096) text += String.fromCharCode(...found.subarray(i, i + 4096))
    return btoa(text) // a list of numbers takes Chromium's protocol much longer
  })()`)
  const bytes = Buffer.from(text, 'base64')
  const hex = (value = 0) => value.toString(16).padStart(2, '0')
  return Array.from({ length: width * height }, (_, i) => {
    const [r, g, b, alpha] = bytes.subarray(4 * i, 4 * i + 4)
    return alpha ? `#${hex(r)}${hex(g)}${hex(b)}` : ''
  })
}

/** The mask's bytes that the API gives for a photo's file and a request of the page. */
export async function maskOf(server: { url: string }, photo: Buffer, question: Record<string, unknown>): Promise<Buffer> {
  const form = new FormData()
  form.append('photo', new Blob([new Uint8Array(photo)]))
  for (const [name, value] of Object.entries({ ...question, format: 'raw' }))
    if (name !== 'include') form.append(name, typeof value === 'object' ? JSON.stringify(value) : String(value))
  const response = await post(server, '/v1/segment', form)
  assert.is(response.status, 200, await response.clone().text())
  return await bytesOf(response)
}
