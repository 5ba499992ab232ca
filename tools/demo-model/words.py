"""What the text tower reads in training: prompts and captions, with a vocabulary of the tokens that occur."""
import json
import random

import torch

import oracle  # noqa: F401  (finds ../golden)
from backgrounds import BACKGROUNDS, KINDS
from make_golden import TEMPLATE, Tokenizer

TEMPLATES = [                                # the product's own template twice: it is the one that is used
    TEMPLATE, TEMPLATE, "a photo of a {}.", "a photo of a {}", "a {}", "{}", "a picture of a {}.", "a drawing of a {}.",
    "an emoji of a {}", "a photo of the {}.", "a small {}", "a big {}.", "the {}", "there is a {} in the scene.",
    "a cartoon {}", "an icon of a {}."]
JOINING = "a and on of with , ."             # words of captions that stand in no template


class Words:
    """Prompts and captions as compact token ids. Row 0 stands for every token never used in training; it is trained
    by random insertion, so that an unknown word in a prompt is ignored instead of harmful."""

    def __init__(self, words_file, vocabulary):
        with open(words_file) as f:
            source = json.load(f)
        self.classes = list(source)
        self.words = [source[c]["words"] for c in source] + [BACKGROUNDS[b] for b in KINDS]
        self.tokenizer = Tokenizer(vocabulary)
        ids = self.tokenizer.ids
        self.start, self.end = ids["<|startoftext|>"], ids["<|endoftext|>"]
        texts = TEMPLATES + [w for ws in self.words for w in ws] + [JOINING]
        seen = {t for s in texts for t in self.tokens(s.replace("{}", " "))}
        self.used = sorted(seen | {self.start, self.end})            # CLIP's ids of rows 1, 2, …
        self.row = {t: i + 1 for i, t in enumerate(self.used)}
        self.cache = {}

    def tokens(self, s):
        """CLIP's token ids, without start, end and padding."""
        return [t for t in self.tokenizer(s).tolist()[1:] if t][:-1]

    def ids(self, s):
        if s not in self.cache:
            self.cache[s] = [self.row[t] for t in self.tokens(s)]
        return self.cache[s]

    def prompt(self, word, template, blur=0.15):
        before, after = template.split("{}")
        unknown = [0] * random.randint(1, 2) if random.random() < blur else []
        return self.ids(before) + unknown + self.ids(word) + self.ids(after)

    def pad(self, rows):
        """Lists of ids -> (T, L), with start and end."""
        n = max(map(len, rows))
        return torch.tensor([[self.row[self.start], *r, self.row[self.end], *[0] * (n - len(r))] for r in rows])

    def all_prompts(self):
        """A prompt for every class and every kind of ground."""
        t = random.choice(TEMPLATES) if random.random() < 0.5 else None
        return [self.prompt(random.choice(w) if random.random() < 0.5 else w[0], t or random.choice(TEMPLATES))
                for w in self.words]

    def captions(self, objects, grounds):
        return [self.caption(o, g) for o, g in zip(objects, grounds, strict=True)]

    def caption(self, objects, grounds):
        """What is there in any order, seven times in ten with its ground: a cat and a ball on grass."""
        C = len(self.classes)
        things = random.sample(objects, len(objects))
        ground = [C + k for k in grounds]
        if not things:                                               # a bare background is the subject itself
            things, ground = ground[:1], ground[1:]
        if len(things) == 1 and random.random() < 0.5:
            ids = self.prompt(self.any_word(things[0]), random.choice(TEMPLATES))
        else:
            ids = []
            for j, i in enumerate(things):
                ids += (self.ids("and") if j else []) + self.ids("a") + self.ids(self.any_word(i))
        if ground and random.random() < 0.7:
            ids = ids + self.ids(random.choice(["on", "with", "and"]))
            for j, k in enumerate(random.sample(ground, len(ground))):
                ids = ids + (self.ids("and") if j else []) + self.ids(self.any_word(k))
        return ids

    def any_word(self, i):
        return random.choice(self.words[i])

    def class_file(self):
        """The classes as a class file of the product: synonyms averaged, grounds as competing words."""
        classes = [{"name": c, "synonyms": w} if w != [c] else {"name": c}
                   for c, w in zip(self.classes, self.words, strict=False)]
        return {"template": TEMPLATE, "fusion": "feature", "boxThreshold": 0.4,
                "background": [w for words in BACKGROUNDS.values() for w in words], "classes": classes}
