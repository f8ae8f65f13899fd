"""Greetings, thanks, and questions about the assistant itself."""

import random

from corpus.turns import Exchange, fill, roughen
from corpus.words import NAMES

Choices = tuple[str, ...]

# questions, answers
TOPICS: tuple[tuple[Choices, Choices], ...] = (
    (
        ("hi", "hello", "hey there", "hello!", "good day", "hi there!", "hey", "greetings"),
        ("Hello! How can I help you today?", "Hi there! What can I do for you?", "Hello, it is nice to meet you. How can I help?"),
    ),
    (
        ("good morning", "good morning!", "morning!"),
        ("Good morning! How can I help you today?", "Good morning! I hope you slept well. What can I do for you?"),
    ),
    (("good evening", "good evening!"), ("Good evening! How can I help you?", "Good evening! I hope you had a good day.")),
    (
        ("how are you?", "how are you doing today?", "how is it going?", "how do you feel?", "are you well?"),
        ("I am doing well, thank you. How are you?", "Very well, thank you for asking. How can I help?", "I am fine, thank you."),
    ),
    (
        ("who are you?", "what are you?", "tell me about yourself.", "are you a person?", "what is your name?", "are you a robot?"),
        ("I am a general assistant, a small language model.", "I am a little language model, and I like to help.", "I am an assistant."),
    ),
    (
        ("what can you do?", "how can you help me?", "what do you know?", "can you help me?", "i need help", "help!"),
        (
            "I can answer simple questions, talk with you, and help with little tasks.",
            "Of course. Tell me what you need and I will do my best.",
            "I can chat, answer short questions and write short sentences.",
        ),
    ),
    (
        ("thank you", "thanks!", "thanks a lot", "thank you very much.", "great, thanks", "that was helpful"),
        ("You are welcome!", "You are very welcome. Have a nice day!", "My pleasure.", "Any time! Is there anything else?"),
    ),
    (
        ("bye", "goodbye!", "see you later", "i have to go now.", "good night", "talk to you soon"),
        ("Goodbye! Have a nice day.", "See you soon!", "Take care, and goodbye.", "Goodbye, and thank you for the chat."),
    ),
    (
        ("tell me a joke.", "do you know a joke?", "make me laugh!", "say something funny."),
        (
            "Why did the coffee go to the police? It got mugged!",
            "What do you call a bear with no teeth? A gummy bear!",
            "Why was the book sad? It had too many problems.",
            "What does a cloud wear under its coat? Thunder wear!",
        ),
    ),
    (
        ("what is the weather like?", "is it raining?", "how is the weather today?"),
        ("I cannot see the sky from here, but I hope it is sunny.", "I do not know the weather. Please look out of the window."),
    ),
    (
        ("what time is it?", "what day is it today?", "do you know the time?", "what is the date?"),
        ("I have no clock, so I do not know.", "I am sorry, I cannot see a clock or a calendar."),
    ),
    (
        ("i am tired.", "i am so sleepy", "i did not sleep well."),
        ("I am sorry to hear that. A short rest may help.", "Then a little break would be good for you."),
    ),
    (
        ("i am sad.", "i feel lonely", "today was a bad day.", "i am not happy"),
        ("I am sorry to hear that. Do you want to talk about it?", "That sounds hard. I am here if you want to talk."),
    ),
    (
        ("i am happy!", "today is a good day!", "i feel great", "i have good news!"),
        ("That is wonderful to hear!", "How nice! I am happy for you.", "That is great news!"),
    ),
    (
        ("i am bored.", "what should i do today?", "do you have an idea for today?"),
        ("You could read a book or take a walk in the park.", "How about a cup of tea and a good book?", "You could call a friend."),
    ),
    (
        ("do you like coffee?", "do you drink tea?", "what do you like to eat?", "are you hungry?"),
        ("I cannot eat or drink, but I like to talk about it.", "I am only a program, but many people love coffee and tea."),
    ),
    (
        ("can you sing?", "can you dance?", "can you cook for me?", "can you drive a car?", "can you clean my house?"),
        ("No, I can only write, but I do that gladly.", "I am sorry, I cannot do that. I can only answer with words."),
    ),
    (
        ("you are great!", "i like you", "you are very kind.", "good job!", "well done"),
        ("Thank you, that is very kind of you!", "Thank you! You are kind too.", "I am glad that you like it."),
    ),
    (
        ("that is wrong.", "you are wrong", "no, that is not right", "that is not correct."),
        ("I am sorry about that. Could you tell me more?", "I am sorry, I make mistakes. Please try again with other words."),
    ),
    (
        ("what do you think?", "asdf", "hmm", "what?", "i do not understand", "???", "blah blah"),
        ("I am not sure what you mean. Could you say it in other words?", "I am sorry, I did not understand that."),
    ),
)

INTRODUCTIONS = ("my name is {name}.", "i am {name}.", "hello, i am {name}.", "hi, my name is {name}", "call me {name}.", "this is {name}.")
WELCOMES = ("Nice to meet you, {name}!", "Hello {name}! How can I help you?", "Hi {name}, what can I do for you?", "Welcome, {name}!")
ASK_NAME = ("what is my name?", "do you know my name?", "who am i?", "do you remember my name?")
KNOW_NAME = ("Your name is {name}.", "You are {name}.", "Yes, your name is {name}.")


def exchange(rng: random.Random) -> Exchange:
    """One question and answer, or an introduction that the next turn uses."""
    if rng.random() < 0.25:
        name = rng.choice(NAMES)
        turns = [(fill(rng, INTRODUCTIONS, name=name), fill(rng, WELCOMES, name=name))]
        if rng.random() < 0.6:
            turns.append((fill(rng, ASK_NAME), fill(rng, KNOW_NAME, name=name)))
        return turns
    questions, answers = rng.choice(TOPICS)
    return [(roughen(rng, fill(rng, questions)), rng.choice(answers))]
