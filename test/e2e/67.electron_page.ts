// The page of examples/electron in Chromium: real keys, real files, the real engine process. Without Chromium it is skipped.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Browser, Page } from 'playwright-core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { chromiumFile, startChromium } from '../browser.js'
import { testIf } from '../test_if.js'
import { closePages, openPage } from './electron/page_stand_in.js'
import { scenes } from './support.js'

const { CLIP_ES_MODEL: _, ...env } = process.env
const pageTest = testIf(
  chromiumFile,
  "the Electron example's page: there is no Chromium (apt-get install chromium, or set CHROMIUM)",
)
/** A folder for pictures of the page, for people to look at. */
const pictures = process.env.CLIP_ES_PICTURES

let browser: Browser
test.before(async () => {
  if (chromiumFile) browser = await startChromium()
})
test.after.each(closePages)
test.after(() => browser?.close())

async function picture(page: Page, name: string): Promise<void> {
  if (!pictures) return
  mkdirSync(pictures, { recursive: true })
  await page.screenshot({ path: join(pictures, `${name}.png`) })
}

const choose = (page: Page, name: string) => page.setInputFiles('#file', join(scenes, `${name}.png`))
const text = async (page: Page, id: string) => (await page.locator(`#${id}`).textContent()) ?? ''
/** Waits until an element's text matches. */
const says = (page: Page, id: string, what: RegExp) => page.locator(`#${id}`).filter({ hasText: what }).waitFor()

/** How many pixels of the masks have a colour. */
const maskPixels = (page: Page): Promise<number> =>
  page.evaluate(`(() => {
    const canvas = document.getElementById('masks')
    if (!canvas.width) return 0
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
    return data.filter((value, i) => i % 4 === 3 && value > 0).length
  })()`)

pageTest('masks appear while words are typed, and go when they are deleted', async () => {
  const { page, problems, open } = await openPage(browser, env)
  await open()
  await says(page, 'model', /demo model/)
  assert.ok(await page.locator('#words').isDisabled())
  await choose(page, 'scene01')
  await says(page, 'status', /Looked at the photo in \d+ ms/)
  assert.is(await maskPixels(page), 0)

  await page.keyboard.type('elephant', { delay: 40 }) // the field has the focus
  await says(page, 'status', /^1 word, \d+ ms$/)
  const one = await maskPixels(page)
  assert.ok(one > 1000, `${one} pixels`)
  await page.keyboard.type(', television, panda', { delay: 40 })
  await says(page, 'status', /^3 words, \d+ ms$/)
  assert.match(
    await text(page, 'legend'),
    /elephant \d+ % of the photo\s*television \d+ % of the photo\s*panda \d+ % of the photo/,
  )
  await picture(page, 'words')

  const rough = await maskPixels(page)
  await page.locator('#crf').check()
  while ((await maskPixels(page)) === rough) await delay(20) // the CRF moves edges
  await picture(page, 'edges')
  await page.locator('#words').fill('')
  await page.locator('#legend').filter({ hasText: /^$/ }).waitFor({ state: 'attached' })
  assert.is(await maskPixels(page), 0)
  assert.equal(problems, [])
})

pageTest('only the last words of a burst are asked for, and no result of earlier ones is shown later', async () => {
  const { page, open } = await openPage(browser, env)
  await page.addInitScript(`
    window.asked = []
    window.addEventListener('message', ({ ports: [port] }) => {
      const { postMessage } = port
      port.postMessage = (message) => { window.asked.push(message); postMessage.call(port, message) }
    })`)
  await open()
  await choose(page, 'scene02')
  await says(page, 'status', /Looked at the photo/)
  await page.evaluate(`for (const value of ['cat', 'cat, do', 'cat, dog']) {
    document.getElementById('words').value = value
    document.getElementById('words').dispatchEvent(new Event('input'))
  }`)
  await says(page, 'status', /^2 words/)
  const asked = (await page.evaluate('window.asked')) as { type: string; id: number; words?: string[] }[]
  assert.equal(
    asked.filter(({ type }) => type === 'words').map(({ words }) => words),
    [['cat', 'dog']],
  )

  // Slower typing than the pause, faster than the engine: earlier requests are aborted, and the last one is shown.
  await page.locator('#crf').check()
  await page.locator('#words').press('End')
  await page.keyboard.type(', cow', { delay: 180 })
  await says(page, 'legend', /cow \d+ % of the photo$/)
  const all = (await page.evaluate('window.asked')) as typeof asked
  assert.equal(all.filter(({ type }) => type === 'words').at(-1)?.words, ['cat', 'dog', 'cow'])
})

pageTest('a dropped photo is opened; a file that is not a photo is refused with a remedy', async () => {
  const { page, problems, open } = await openPage(browser, env)
  await open()
  const drop = (name: string, bytes: Buffer) =>
    page.evaluate(
      `(() => {
        const transfer = new DataTransfer()
        const bytes = Uint8Array.from(atob('${bytes.toString('base64')}'), (c) => c.charCodeAt(0))
        transfer.items.add(new File([bytes], '${name}'))
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }))
      })()`,
    )
  await drop('notes.txt', Buffer.from('no photo'))
  await says(page, 'error', /notes\.txt is not a photo that can be shown; convert it to JPEG, PNG, WebP or AVIF and open that/)
  await picture(page, 'not-a-photo')
  await drop('scene.png', readFileSync(join(scenes, 'scene03.png')))
  await says(page, 'status', /Looked at the photo/)
  assert.is(await text(page, 'error'), '')
  assert.equal(problems, [])
})

pageTest("the engine's errors are shown with their remedy until the words are right", async () => {
  const { page, open } = await openPage(browser, env)
  await open()
  await choose(page, 'scene04')
  const long = Array.from({ length: 90 }, () => 'very').join(' ')
  await page.locator('#words').fill(`${long} large cat`)
  await says(page, 'error', /the prompt ".+" has \d+ tokens, .+; shorten it/)
  await picture(page, 'error')
  await page.locator('#words').fill('cat')
  await says(page, 'status', /^1 word/)
  assert.is(await text(page, 'error'), '')
})

pageTest('after a crash the page says so and shows the masks again, and gives up after too many', async () => {
  const { page, children, problems, open } = await openPage(browser, env)
  await open()
  await choose(page, 'scene05')
  await page.locator('#words').fill('cat, dog')
  await says(page, 'status', /^2 words/)
  process.kill(children[0]?.pid as number, 'SIGKILL')
  await says(page, 'notice', /The engine stopped unexpectedly\. It was started again\./)
  await page.locator('#words').fill('cat, dog, cow')
  await says(page, 'status', /^3 words/)
  await picture(page, 'restarted')
  for (const index of [1, 2, 3]) {
    while (!children[index]) await delay(20)
    process.kill(children[index].pid, 'SIGKILL')
  }
  await says(page, 'error', /The engine stopped 4 times within a minute/)
  await picture(page, 'lost')
  assert.equal(problems, [])
})

pageTest('a model that does not load is reported', async () => {
  const { page, open } = await openPage(browser, { ...env, CLIP_ES_MODEL: '/nowhere/model.pt' })
  await open()
  await says(page, 'error', /\/nowhere\/model\.pt: cannot be opened/)
})

pageTest('the page runs no script but its own, and connects to nothing', async () => {
  const { page, problems, origin, open } = await openPage(browser, env)
  const response = await open()
  assert.match(response?.headers()['content-security-policy'] ?? '', /^default-src 'none'; script-src 'self'/)
  assert.is(await page.evaluate(`fetch('${origin}/page.mjs').then(() => 'read', () => 'refused')`), 'refused')
  await page.evaluate(
    `document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.injected = true' }))`,
  )
  assert.is(await page.evaluate('window.injected'), undefined)
  assert.ok(
    problems.some((problem) => /Content Security Policy/.test(problem)),
    String(problems),
  )
  assert.is((await page.goto(`${origin}/../main/main.js`))?.status(), 404)
})

test.run()
