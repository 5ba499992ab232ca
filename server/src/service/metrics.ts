import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Service, ServiceResult } from './service.js'

const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** What Prometheus reads. Every service has a registry of its own, so that two of them in one process do not add up. */
export class Metrics {
  readonly registry = new Registry()
  readonly #requests: Counter
  readonly #duration: Histogram
  readonly #stages: Histogram
  readonly #photos: Counter
  readonly #pixels: Counter

  constructor(service: Service) {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry })
    this.#requests = new Counter({
      name: 'clip_es_requests_total',
      help: 'Requests by route and result',
      labelNames: ['method', 'route', 'status'],
      registers,
    })
    this.#duration = new Histogram({
      name: 'clip_es_request_seconds',
      help: 'From the headers of a request to the end of its answer',
      labelNames: ['route'],
      buckets: seconds,
      registers,
    })
    this.#stages = new Histogram({
      name: 'clip_es_stage_seconds',
      help: 'Stages of the photos: wait is the queue of the server, queue that of the engine, words the text tower',
      labelNames: ['stage'],
      buckets: seconds,
      registers,
    })
    this.#photos = new Counter({ name: 'clip_es_photos_total', help: 'Photos that were segmented', registers })
    this.#pixels = new Counter({ name: 'clip_es_pixels_total', help: 'Pixels of these photos', registers })
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value())
        },
      })
    gauge('clip_es_queue_waiting', 'Requests that wait for the engine', () => service.queue.waiting)
    gauge('clip_es_queue_running', 'Requests that are decoded, computed or encoded', () => service.queue.running)
    gauge('clip_es_photos_per_second', 'Measured while requests wait; 0 before', () => service.queue.rate)
    gauge('clip_es_stored_images', 'Encoded photos of POST /v1/images', () => service.images.count)
    gauge('clip_es_stored_image_bytes', 'Memory that they take', () => service.images.bytes)
    gauge('clip_es_upload_bytes', 'Bytes of uploads that are held', () => service.uploads.held)
    gauge('clip_es_class_sets', 'Class sets that are kept encoded', () => service.classSets.encodedCount)
    gauge('clip_es_ready', '1 while new requests are welcome', () => Number(service.ready))
  }

  /** A request is answered. @param route its pattern: a label with ids would grow without end */
  request(method: string, route: string, status: number, milliseconds: number): void {
    this.#requests.inc({ method, route, status })
    this.#duration.observe({ route }, milliseconds / 1000)
  }

  /** A photo is segmented. */
  photo({ width, height, timings }: ServiceResult): void {
    this.#photos.inc()
    this.#pixels.inc(width * height)
    for (const [stage, milliseconds] of Object.entries(timings)) this.#stages.observe({ stage }, milliseconds / 1000)
  }
}
