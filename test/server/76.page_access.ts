// The page for everyone: with the keyboard only, by axe's rules, on a phone, in the dark, and without motion.
import { readFileSync } from 'node:fs'
import type { AxeResults } from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunningServer } from '../../server/src/index.js'
import { browserTest, change, launch, openPage, openScene } from './page_support.js'
import { startServer } from './support.js'

let server: RunningServer
let browser: Browser | undefined

test.before(async () => {
  browser = await launch()
  server = await startServer()
})
test.after(async () => {
  await browser?.close()
  await server.close()
})

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds against WCAG 2.2 AA and its own best practices. */
async function violations(page: Page): Promise<string[]> {
  const found = (await page.evaluate(`${axe}; axe.run()`)) as AxeResults
  return found.violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`))
}

for (const colorScheme of ['light', 'dark'] as const)
  browserTest(`axe finds nothing, ${colorScheme}`, async () => {
    const { page, close } = await openPage(browser, server.url, { colorScheme })
    assert.equal(await violations(page), [], 'empty')
    await openScene(page, 1)
    await page.getByText('Thresholds').click()
    await change(page, () => page.locator('#background').fill('elephant')) // a warning
    await page.locator('#labels .name').first().click()
    assert.equal(await violations(page), [], 'a photo is open')
    await change(page, () => page.locator('#mode input[value=set]').check())
    await page.locator('#view input[value=cams]').check()
    await page.locator('#work[data-state=ready]').waitFor()
    assert.equal(await violations(page), [], 'CAM of a class set')
    await close()
  })

browserTest('everything is done with the keyboard', async () => {
  const { page, close } = await openPage(browser, server.url, { reducedMotion: 'reduce' })
  const focused = (): Promise<string> => page.evaluate('document.activeElement.id || document.activeElement.textContent.trim()')
  const tabTo = async (name: string) => {
    for (let presses = 0; (await focused()) !== name; presses++) {
      assert.ok(presses < 80, `Tab does not reach ${name}`)
      await page.keyboard.press('Tab')
    }
  }
  await page.keyboard.press('Tab')
  assert.is(await focused(), 'Skip to the photo')
  await tabTo('open')
  await tabTo('dog, apple')
  await change(page, () => page.keyboard.press('Enter'))
  assert.is(await focused(), 'words')
  await page.keyboard.press('End')
  const { question } = await change(page, () => page.keyboard.insertText(', cat')) // at once: a slow machine would ask in between
  assert.equal(question.classes, ['dog', 'apple', 'cat'])
  await page.keyboard.press('Tab')
  const found = await change(page, () => page.keyboard.press('ArrowRight'))
  assert.is(found.question.labels, 'auto')
  await tabTo('crf')
  assert.is((await change(page, () => page.keyboard.press('Space'))).question.crf, true)
  await tabTo('Thresholds')
  await page.keyboard.press('Enter') // opens them
  await tabTo('backgroundPower')
  assert.is((await change(page, () => page.keyboard.press('ArrowRight'))).question.backgroundPower, 1.25)
  await tabTo('download-mask')
  const [file] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')])
  assert.is(file.suggestedFilename(), 'scene03_mask.png')
  assert.match((await page.textContent('#summary')) as string, /(dog|apple): \d/)
  await close()
})

browserTest('a phone shows everything in its width, and keeps the photo in view', async () => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }
  const { page, close } = await openPage(browser, server.url, phone)
  const overflow = () => page.evaluate('document.documentElement.scrollWidth - innerWidth')
  assert.is(await overflow(), 0)
  await openScene(page, 1)
  await page.getByText('Thresholds').tap()
  assert.is(await overflow(), 0)
  await page.locator('#ignoreBelow').scrollIntoViewIfNeeded()
  const box = await page.locator('#photo').boundingBox()
  assert.ok(box && box.y >= 0 && box.y < 100, `the photo is at ${box?.y}`)
  await close()
})

test.run()
