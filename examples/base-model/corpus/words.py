"""The word lists shared by all kinds of exchange."""

NAMES = tuple(
    """Ada Adam Aisha Alex Alice Amir Amy Ana Andre Anna Anton Ben Bella Bruno Carla Carlos Chen Chloe Clara Dan Daniel Dara David Diana
    Diego Elena Eli Ella Emil Emma Eric Eva Fatima Felix Finn Fiona Frank Gina Grace Greta Hana Hannah Hassan Helen Henry Hugo Ian Ida
    Imran Ines Iris Isaac Ivan Jack James Jane Jean Jin Joe John Jonas Jose Julia Kai Karim Karl Kate Keiko Kim Lara Laura Lea Leo Lily
    Lina Lucas Lucy Luis Luna Maria Marco Mark Marta Mary Max Maya Mei Mia Milan Mina Mona Nadia Nina Noah Nora Olga Oliver Omar Oscar
    Paul Paula Peter Petra Priya Rahul Ravi Rita Robert Rosa Ruth Sam Samir Sara Simon Sofia Tara Theo Tim Tina Tom Uma Vera Victor
    Wei Will Yara Yuki Yusuf Zara Zoe""".split(),  # noqa: SIM905  easier to read than a hundred quoted words
)
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SIZES = ("small", "medium", "large")
MILKS = ("oat", "soy", "almond", "coconut", "whole", "skim")
MILK_DRINKS = ("latte", "cappuccino", "mocha", "flat white", "macchiato", "cortado", "chai", "hot chocolate", "steamer")
PLAIN_DRINKS = ("espresso", "americano", "cold brew", "green tea", "black tea", "lemonade", "apple juice", "mint tea", "decaf", "matcha")
FOODS = ("croissant", "muffin", "bagel", "sandwich", "cookie", "scone", "brownie", "pancake", "salad", "soup", "cake", "pie", "toast")
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "brown", "grey", "pink", "orange", "purple", "silver")
GOODS = ("mug", "cup", "teapot", "kettle", "grinder", "jar", "apron", "filter", "scale", "bottle", "tray", "spoon", "plate", "bowl", "lamp")
FAULTS = ("cracked", "broken", "scratched", "dented", "leaking", "stained", "faulty", "chipped", "bent", "dirty", "too small", "too big")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
HOURS = tuple(range(1, 13))
ANIMALS = ("cat", "dog", "horse", "cow", "bird", "fish", "rabbit", "mouse", "lion", "bear", "fox", "duck", "sheep", "pig", "frog", "bee")
FRUITS = ("apple", "pear", "plum", "orange", "banana", "lemon", "peach", "cherry", "grape", "mango", "melon", "kiwi")
PLACES = (
    "garden",
    "kitchen",
    "park",
    "city",
    "house",
    "school",
    "market",
    "station",
    "library",
    "forest",
    "river",
    "street",
    "beach",
    "shop",
)
THINGS = (
    "book",
    "chair",
    "table",
    "phone",
    "key",
    "coat",
    "hat",
    "shoe",
    "clock",
    "map",
    "ball",
    "box",
    "letter",
    "ticket",
    "flower",
    "bag",
)
ADJECTIVES = ("old", "new", "little", "big", "happy", "quiet", "warm", "cold", "bright", "soft", "clean", "good", "kind", "fast", "slow")
VERBS = ("walks", "runs", "sleeps", "waits", "plays", "sings", "reads", "sits", "works", "rests", "dances", "cooks")
