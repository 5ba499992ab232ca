"""Strings and their tokens by OpenAI's own tokenizer, for test/unit/12.tokenizer.ts.

    python make_tokens.py CLIP OUTPUT [--count N] [--seed S]

CLIP is a checkout of github.com/openai/CLIP; needs ftfy and regex. The strings are the hand-picked ones below and N made at
random from their parts. A string that ftfy takes for mojibake is left out: the product does not repair mojibake. So is a
character newer than Python's Unicode, whose class depends on who reads it.
"""
import argparse, html.entities, importlib.util, json, pathlib, random, subprocess, sys, unicodedata
from importlib.metadata import version
import ftfy

WORDS = """a photo of the cat dog person tvmonitor pottedplant diningtable aeroplane origami Clean HTML STRASSE straße naïve
Ångström ΣΊΣΥΦΟΣ ΟΔΟΣ İstanbul ISPARTA ǆungla ŉ ﬁsh ﬂower oﬃce ﬆop ﬅop ĳs ǅ Ǳ кошка КОШКА Ёлка 猫 猫の写真 ねこ ﾈｺ ﾊﾟﾝ 한국어
한국어 ﾡﾢ قطة ـــ قِطَّة חתול แมว बिल्ली பூனை ქართული ᏣᎳᎩ ⴰⵎⵓⵛⵛ mañana mañana é e\u0301 o\u0302\u0323 Å 𝓬𝓪𝓽 𝔘 𐐀𐐁 Ⓐ ⓐ Ⅷ ⅷ
don't Can't I'm we've they'll she'd you're O'Reilly's 'twas rock'n'roll don’t I‘m ʼtis 'ſ 'S 'RE x's's""".split()
DIGITS = "0 7 42 1999 3.14 1,000 100% ½ ² ٣ ४ ৮ ① ㊿ ⅔ 𝟙 1st 2nd v2 $5 #1 50x 0x1F 10⁻³".split()
MARKS = list("!?.,;:-_+*/\\|()[]{}<>@#$%^&~`'\"=") + ["...", "…", "—", "–", "!!!", "?!", "->", "<|", "|>", "</w>", "<w>", "::", "''", '""', "“", "”", "‘", "’", "‚", "„", "«", "»", "×", "©", "®", "™", "€", "°", "µ", "·", "¿", "¡", "\u00ad"]
EMOJI = "🐱 🐶🐶 😀 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇭 🇬🇧🇫🇷 🏴󠁧󠁢󠁷󠁬󠁳󠁿 ❤️ ☺ ⌚ 1️⃣ #️⃣ 🧑‍🚀 ♀ ✔️".split()
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\f", "\v", "\u00a0", "\u1680", "\u2003", "\u2009", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202a", "\u202e", "\u2060", "\u2066", "\u206a", "\u206f", "\ufeff", "\ufff9", "\ufffc", "\ufffd", "\u180e", "\u034f", "\u0345", "\u0300", "\u20e3", "\ufe0f",
             "\x00", "\x01", "\x07", "\x08", "\x0b", "\x0e", "\x1b", "\x1c", "\x1f", "\x7f", "\ue000", "\U000f0000", "\ufdd0", "\ufffe", "\uffff", "\x1b[31m", "\x1b[0;1m"]
REFERENCES = """&amp; &amp;amp; &amp;amp;amp; &amp;amp;amp;amp; &lt; &gt; &lt;b&gt; &quot; &apos; &eacute; &Eacute; &EACUTE; &eACUTE; &NTILDE; &SZLIG; &nbsp; &hellip; &rsquo; &copy &copy2 &ampamp; &amplt; &notit; &notin;
&not &lt &ltfoo; &AMP; &AMP &FRAC12; &frac12; &semi; &SEMI; &amp&semi; &unknown; &Jscr; &HilbertSpace; &CounterClockwiseContourIntegral; &NotEqualTilde; &ThickSpace; &fjlig; &Tab; &NewLine; &lsquo;x&rsquo; &zwj; &shy; &lrm;
&#39; &#x27; &#x1F600; &#128512; &#X41; &#65 &#65x &#x41g; &#59; &#38;amp; &#38;#38; &#0; &#1; &#11; &#13; &#x1f; &#127; &#128; &#129; &#133; &#x92; &#150; &#xD800; &#xDFFF; &#xFDD0; &#xFFFE; &#x1FFFF; &#x10FFFF; &#x110000;
&#9999999999; &#x; &#; &#xfeff; &#xFEFF &#x200b; &; & && &&amp; ＆ａｍｐ； &＃39; &#00065; &#8217; &ZeroWidthSpace; &bne; &ngE; &zigrarr;""".split()
SPECIAL = ["<|endoftext|>", "<|startoftext|>", "<|ENDOFTEXT|>", "<|endoftext|", "<|endoftext|><|startoftext|>", "&lt;|endoftext|&gt;", "＜|endoftext|＞", "<|EndOfText|>", "<|ſtartoftext|>"]
SURROGATES = ["\ud83d", "\udc31", "\udc31\ud83d", "\udbff", "\udfff"]
WIDE = list("ＡＺａｚ０９！？（）～｡｢｣､･ｦｱﾝﾞﾟￜ￡￥￦￨￮")
KINDS = [(WORDS, 30), (DIGITS, 8), (MARKS, 14), (EMOJI, 7), (SPACES, 14), (INVISIBLE, 5), (REFERENCES, 12), (SPECIAL, 2), (SURROGATES, 1), (WIDE, 4)]
PICKED = ["", " ", "\ufeff", "\x00", "&#1;", "a\ufeffb", "x <\n&amp;amp;amp;", "&amp;amp;amp;\n<", "<&amp;eacute;>", "!<|endoftext|>", "a<|endoftext|>b", "'<|startoftext|>'", "a" * 300, "ab" * 200, "!" * 100, "1234567890", "aaa'sss", "'s's's",
          "Σ", "ΑΣ", "ΑΣΑ", "Σ.Α", "ΑΣ'", "ΑΣ:Β", "Α\u0345Σ", "Σ\u0301", "1Σ", "ⅧΣ", "\u1ebe\u0323", "\u212a\u212b\u2126", "\u0958", "\u2adc", "\u0f43", "\U0001d15e", "\uf900", "\u1100\u1161\u11a8", "&LTIMES;", "a\n\n\nb", "a \u2028 b"]


def strings(count, seed):
    rng = random.Random(seed)
    yield from PICKED
    for parts in (WORDS, DIGITS, MARKS, EMOJI, REFERENCES, SPECIAL): yield from parts
    for part in INVISIBLE + SPACES + SURROGATES + WIDE: yield f"a{part}b {part} c"
    planes = [(0x20, 0x7e), (0xa1, 0x24f), (0x250, 0x5ff), (0x600, 0x1fff), (0x2000, 0x2bff), (0x2e80, 0xd7a3), (0xf900, 0xffff), (0x10000, 0x1f9ff)]
    for i in range(count):
        if i % 8 == 7:                                                    # any characters of one or two blocks
            a, b = rng.choice(planes), rng.choice(planes)
            yield "".join(chr(rng.randint(*rng.choice((a, b)))) for _ in range(rng.randint(1, 12)))
        elif i % 8 == 6:                                                  # any reference, cut or not, in any case
            names = [rng.choice(list(html.entities.html5)) for _ in range(rng.randint(1, 4))]
            yield "".join("&" + rng.choice((n, n.rstrip(";"), n.upper(), n[:-2], "amp;" + n)) + rng.choice(("", " ", "x", ";")) for n in names)
        elif i % 8 == 5:                                                  # letters that make unlikely merges
            yield "".join(rng.choice("aabcdeeefghiiklmnoooprssttuvwxyz") for _ in range(rng.randint(1, 40)))
        else:
            kinds = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS], k=rng.randint(1, 9))
            yield "".join(rng.choice(kind) + rng.choice(("", "", " ")) for kind in kinds)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("clip", type=pathlib.Path); p.add_argument("output", type=pathlib.Path)
    p.add_argument("--count", type=int, default=200); p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    spec = importlib.util.spec_from_file_location("simple_tokenizer", a.clip / "clip" / "simple_tokenizer.py")
    module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
    tokenizer = module.SimpleTokenizer()
    commit = subprocess.run(["git", "-C", a.clip, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    rows, mojibake, newer = {}, 0, 0
    for text in strings(a.count, a.seed):
        if any(unicodedata.category(c) == "Cn" and ord(c) & 0xfffe != 0xfffe and not 0xfdd0 <= ord(c) <= 0xfdef for c in text): newer += 1
        elif ftfy.fix_text(text) != ftfy.fix_text(text, fix_encoding=False): mojibake += 1
        else: rows[text] = tokenizer.encode(text)
    made = {"tokenizer": f"openai/CLIP {commit or 'of unknown commit'}, clip/simple_tokenizer.py", "python": sys.version.split()[0], "unicode": unicodedata.unidata_version,
            **{name: version(name) for name in ("ftfy", "regex")}, "count": a.count, "seed": a.seed}
    lines = ",\n".join(json.dumps({"text": t, "ids": i}, separators=(",", ":")) for t, i in rows.items())
    a.output.write_text(f'{{"made": {json.dumps(made)},\n"rows": [\n{lines}\n]}}\n')
    print(f"{len(rows)} strings; left out: {mojibake} that ftfy takes for mojibake, {newer} with unassigned characters")


if __name__ == "__main__":
    main()
