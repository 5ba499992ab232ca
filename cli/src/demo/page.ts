import type { ModelInfo } from 'clip-es'
import { hexColour } from 'clip-es/photos'
import { escapeXml, percent } from 'clip-es/support'
import { pageStyle } from '../report/base_style.js'
import type { ScenePictures } from './pictures.js'
import { type DemoObject, type DemoResult, failureBelow, isOff, mean, sumUp, tolerance } from './result.js'
import { demoStyle } from './style.js'

const figure = (value: number): string => (Number.isFinite(value) ? value.toFixed(3) : '–')

const milliseconds = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`

const stat = (value: string, name: string, note: string): string =>
  `<div class="stat"><dt>${name}</dt><dd>${value}</dd><dd class="note">${note}</dd></div>`

function header(results: readonly DemoResult[], model: ModelInfo): string {
  const { objects, iou, reference, crfIou, failures, crfFailures, off } = sumUp(results)
  const time = milliseconds(mean(results.map((result) => result.milliseconds)))
  const crfTime = milliseconds(mean(results.map((result) => result.crfMilliseconds)))
  const compared = off
    ? `${off} objects differ from the reference (${figure(reference)}) by more than ${tolerance}`
    : `every object is within ${tolerance} of the reference (${figure(reference)})`
  return `<header>
<p class="brand">clip-es demo</p>
<h1>Words in, masks out.</h1>
<p class="lead">clip-es got only the picture and the names of the things in it. It needs no training on masks, no boxes and no clicks. CLIP
says where each word is; the optional CRF then moves the borders onto the edges of the picture.</p>
<p class="caution"><strong>The embedded model knows emoji scenes, not photographs.</strong> It is a CLIP small enough to ship
(9 MB, 72 things drawn as emoji). For photographs, use a real CLIP model: <code>--model ViT-B-16.pt</code>.</p>
<dl class="stats">
${stat(figure(iou), 'Mean IoU without CRF', compared)}
${stat(figure(crfIou), 'Mean IoU with CRF', `of ${objects} objects in ${results.length} scenes`)}
${stat(`${failures} → ${crfFailures}`, `Objects with an IoU below ${failureBelow}`, `without → with CRF, of ${objects}`)}
${stat(time, 'Per scene', `and ${crfTime} more with the CRF; ${escapeXml(model.device)}, ${escapeXml(model.precision)}`)}
</dl>
</header>`
}

const legend = (patch: number): string => `<section class="legend">
<h2>How to read this page</h2>
<dl>
<dt>Picture</dt><dd>The input. The words above it are the names that were given.</dd>
<dt>Without CRF</dt><dd>The mask: the pixels found for each word, in the word's colour. Its borders follow patches of ${patch} x ${patch} pixels.</dd>
<dt>With CRF</dt><dd>The same mask after the dense CRF (<code>--crf</code>).</dd>
<dt>Truth</dt><dd>Where the things really are. clip-es did not see it.</dd>
<dt>IoU</dt><dd>The overlap of mask and truth, divided by their union: 1 is perfect, 0 is no overlap. The number below a mask
is the mean of its objects. The thin line across a bar is the IoU of the reference implementation, which has no CRF.</dd>
</dl>
</section>`

/** Objects that failed, the worst first, and what the CRF repairs. */
function failures(results: readonly DemoResult[]): string {
  const all = results.flatMap(({ scene, objects }) => objects.map((object) => ({ scene: scene.name, object })))
  const failed = all.filter(({ object }) => object.failure).sort((a, b) => a.object.iou - b.object.iou)
  const gained = all
    .filter(({ object }) => !object.failure)
    .sort((a, b) => b.object.crfIou - b.object.iou - (a.object.crfIou - a.object.iou))
    .slice(0, 3)
    .map(({ object }) => `${escapeXml(object.name)} (${figure(object.iou)} → ${figure(object.crfIou)})`)
  const items = failed.map(
    ({ scene, object }) =>
      `<li><b><a href="#${escapeXml(scene)}">${escapeXml(object.name)}</a>, IoU ${figure(
        object.iou,
      )} → ${figure(object.crfIou)}.</b> ${failureText(object)}</li>`,
  )
  return `<section class="failures" id="failures">
<h2>Where it fails</h2>
<p>${failed.length ? 'These objects were not found well. Each number is the IoU without → with CRF.' : 'Every object was found.'}</p>
<ul>
${items.join('\n')}
</ul>
<p>The CRF helps most where patches are coarse for a small thing: ${gained.join(', ')}. A real CLIP model knows far more things and words than
this small one.</p>
</section>`
}

const failureText = ({ failure }: DemoObject): string =>
  failure ? `${escapeXml(failure.reason)} <span class="remedy">${escapeXml(failure.remedy)}</span>` : ''

const place = (value: number): string => `${(100 * Math.max(0, Math.min(1, value || 0))).toFixed(1)}%`

const bar = (name: string, iou: number, tick = ''): string =>
  `<div class="row"><span>${name}</span><div class="bar"><span class="fill" style="width:${place(iou)}"></span>${tick}</div><b>${figure(
    iou,
  )}</b></div>`

function objectItem(object: DemoObject): string {
  const badge = object.failure ? '<span class="badge">failure</span>' : ''
  const off = isOff(object) ? '<span class="off">differs from the reference</span>' : ''
  const tick = `<span class="tick" style="left:${place(object.reference)}" title="reference ${figure(object.reference)}"></span>`
  return `<li style="--colour:${hexColour(object.colour)}">
<div class="line"><span class="swatch"></span><span class="name">${escapeXml(object.name)}</span>${badge}${off}</div>
${bar('without CRF', object.iou, tick)}
${bar('with CRF', object.crfIou)}
<div class="details"><span>probability ${escapeXml(percent(object.probability))}</span><span>reference ${figure(
    object.reference,
  )}</span></div>
${object.failure ? `<p class="failure">${failureText(object)}</p>` : ''}
</li>`
}

function sceneCard({ scene, objects }: DemoResult, pictures: ScenePictures): string {
  const { name, labels, image } = scene
  const words = labels.join(', ')
  const show = (url: string, caption: string, alt: string, iou?: number) =>
    `<figure><img src="${url}" width="${image.width}" height="${image.height}" alt="${escapeXml(alt)}"><figcaption>${
      iou === undefined ? '' : `<b>${figure(iou)}</b>`
    }${caption}</figcaption></figure>`
  return `<article id="${escapeXml(name)}">
<h2><span class="prompt">${labels.map((label) => `<code>${escapeXml(label)}</code>`).join(' ')}</span><a
 href="#${escapeXml(name)}">${escapeXml(name)}</a></h2>
<div class="content">
<div class="pictures">
${show(pictures.photo, 'Picture', `Scene with ${words}`)}
${show(pictures.found, 'Without CRF', `Masks found for ${words}, without CRF`, mean(objects.map(({ iou }) => iou)))}
${show(pictures.foundWithCrf, 'With CRF', `Masks found for ${words}, with CRF`, mean(objects.map(({ crfIou }) => crfIou)))}
${show(pictures.truth, 'Truth', `True outlines of ${words}`)}
</div>
<ul class="objects">
${objects.map(objectItem).join('\n')}
</ul>
</div>
</article>`
}

/** The page of a demo's results: one file, no script, nothing from elsewhere. */
export function demoPage(results: readonly DemoResult[], pictures: readonly ScenePictures[], model: ModelInfo): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>clip-es demo: words in, masks out</title>
<link rel="icon" href="data:,">
<style>${pageStyle}${demoStyle}</style>
</head>
<body>
${header(results, model)}
<main>
${legend(model.patch)}
${failures(results)}
${results.map((result, i) => sceneCard(result, pictures[i] as ScenePictures)).join('\n')}
</main>
<footer>
<p>The masks beside this page are <code>NAME_mask.png</code> and <code>NAME_mask_crf.png</code>: palette PNGs. A pixel is 0 for background, else
the number of its class in <code>models/emoji-classes.json</code>, counted from 1. A probability comes from the softmax over the scene's words and all background words.
An object with a small probability may still have a good mask, because every map is scaled to its own maximum.</p>
<p>Method: <a href="https://arxiv.org/abs/2212.09506">CLIP is Also an Efficient Segmenter</a> (CLIP-ES, 2022). The scenes contain <a
 href="https://github.com/jdecked/twemoji">Twemoji</a> graphics by Twitter, Inc and other contributors (<a
 href="https://creativecommons.org/licenses/by/4.0/">CC-BY-4.0</a>), resized, recoloured, rotated, warped and composed on procedural
backgrounds.</p>
</footer>
</body>
</html>
`
}
