"""Pronunciations of the grammar's words: ARPAbet with stress digits, in the symbols of s3prl's phoneme vocabulary."""

from __future__ import annotations

__all__ = ["LEXICON"]

# fmt: off
LEXICON: dict[str, tuple[str, ...]] = {
    line.split()[0]: tuple(line.split()[1:])
    for line in """
a           AH0
add         AE1 D
at          AE1 T
be          B IY1
blues       B L UW1 Z
bob         B AA1 B
book        B UH1 K
boston      B AO1 S T AH0 N
bowie       B OW1 IY0
by          B AY1
cash        K AE1 SH
classical   K L AE1 S IH0 K AH0 L
cold        K OW1 L D
could       K UH1 D
david       D EY1 V IH0 D
davis       D EY1 V IH0 S
denver      D EH1 N V ER0
dinner      D IH1 N ER0
dublin      D AH1 B L IH0 N
eight       EY1 T
find        F AY1 N D
five        F AY1 V
foggy       F AA1 G IY0
folk        F OW1 K
food        F UW1 D
for         F AO1 R
four        F AO1 R
french      F R EH1 N CH
friday      F R AY1 D EY2
going       G OW1 IH0 NG
greek       G R IY1 K
hear        HH IY1 R
hot         HH AA1 T
i           AY1
if          IH1 F
in          IH0 N
indian      IH1 N D IY0 AH0 N
is          IH1 Z
it          IH1 T
italian     IH0 T AE1 L Y AH0 N
jazz        JH AE1 Z
johnny      JH AA1 N IY0
list        L IH1 S T
london      L AH1 N D AH0 N
madonna     M AH0 D AA1 N AH0
madrid      M AH0 D R IH1 D
marley      M AA1 R L IY0
me          M IY1
mexican     M EH1 K S IH0 K AH0 N
miles       M AY1 L Z
monday      M AH1 N D EY2
morning     M AO1 R N IH0 NG
music       M Y UW1 Z IH0 K
my          M AY1
need        N IY1 D
new         N UW1
next        N EH1 K S T
nina        N IY1 N AH0
nine        N AY1 N
of          AH1 V
on          AA1 N
oslo        AA1 Z L OW0
paris       P EH1 R IH0 S
party       P AA1 R T IY0
people      P IY1 P AH0 L
place       P L EY1 S
play        P L EY1
please      P L IY1 Z
put         P UH1 T
rainy       R EY1 N IY0
restaurant  R EH1 S T R AA2 N T
road        R OW1 D
rock        R AA1 K
seven       S EH1 V AH0 N
simone      S IH0 M OW1 N
six         S IH1 K S
sleep       S L IY1 P
some        S AH1 M
song        S AO1 NG
soul        S OW1 L
summer      S AH1 M ER0
sunny       S AH1 N IY0
table       T EY1 B AH0 L
techno      T EH1 K N OW0
tell        T EH1 L
thai        T AY1
the         DH AH0
this        DH IH1 S
three       TH R IY1
to          T UW1
today       T AH0 D EY1
tokyo       T OW1 K IY0 OW2
tomorrow    T AH0 M AA1 R OW2
tonight     T AH0 N AY1 T
trip        T R IH1 P
two         T UW1
want        W AA1 N T
weather     W EH1 DH ER0
week        W IY1 K
weekend     W IY1 K EH2 N D
what        W AH1 T
will        W IH1 L
windy       W IH1 N D IY0
with        W IH1 DH
workout     W ER1 K AW2 T
would       W UH1 D
you         Y UW1
""".strip().splitlines()
}
# fmt: on
"""Word -> phones, one pronunciation a word."""
