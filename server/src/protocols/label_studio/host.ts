import { invalid, show } from 'clip-es/support'

/** Where Label Studio is, for photos that were uploaded to it. */
export interface LabelStudioOptions {
  /** Such as http://localhost:8080. The server trusts this host, whatever its address is. */
  url: string
  /** The access token of a user who may see the photos: Account & Settings, Legacy Token. */
  token?: string
}

/** Paths below which Label Studio serves photos. The token goes nowhere else. */
const paths = /^\/(data|storage-data|tasks\/\d+\/(presign|resolve))\//

/** The Label Studio whose photos may be fetched. */
export class LabelStudioHost {
  readonly #base: string
  readonly #origin: string
  readonly #authorization: string | undefined

  /** @throws ERR_INVALID_ARG for a URL that is not one */
  constructor({ url, token }: LabelStudioOptions) {
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw invalid(`labelStudio.url is ${show(url)}; expected the address of Label Studio, such as 'http://localhost:8080'`)
    this.#base = url.replace(/\/+$/, '')
    this.#origin = new URL(url).origin
    this.#authorization = token === undefined ? undefined : `Token ${token}`
  }

  /** As the list of allowed hosts has it. */
  get host(): string {
    return new URL(this.#base).host
  }

  /** The URL of a path such as /data/upload/1/a.jpg. */
  urlOf(path: string): string {
    return `${this.#base}${path}`
  }

  /** What proves to Label Studio that a URL may be fetched; undefined for other hosts and other paths. */
  authorizationFor(url: string): string | undefined {
    if (!URL.canParse(url)) return undefined
    const { origin, pathname } = new URL(url)
    const prefix = new URL(this.#base).pathname.replace(/\/$/, '')
    const isPhoto = origin === this.#origin && pathname.startsWith(prefix) && paths.test(pathname.slice(prefix.length))
    return isPhoto ? this.#authorization : undefined
  }
}
